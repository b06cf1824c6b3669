# docker build -f examples/docker/webhook_bot.Dockerfile -t webhook_bot . (in a checkout of turnkeep)
# docker run --env-file .env -v sessions:/data webhook_bot
FROM python:3.13-slim
RUN useradd --uid 1000 bot && mkdir -p /data/sessions && chown -R bot /data
COPY . /src
RUN pip install --no-cache-dir '/src[examples]'
COPY examples/webhook_bot.py /app/
USER bot
ENV TURNKEEP_STORE=/data/sessions
VOLUME /data
EXPOSE 8080
CMD ["python", "/app/webhook_bot.py"]
