# docker build -f examples/docker/agent_bot.Dockerfile -t agent_bot . (in a checkout of turnkeep)
# docker run --env-file .env -v sessions:/data agent_bot
FROM python:3.13-slim
RUN useradd --uid 1000 bot && mkdir -p /data/sessions && chown -R bot /data
COPY . /src
RUN pip install --no-cache-dir '/src[examples]'
COPY examples/agent_bot.py /app/
USER bot
ENV TURNKEEP_STORE=/data/sessions
VOLUME /data
CMD ["python", "/app/agent_bot.py"]
