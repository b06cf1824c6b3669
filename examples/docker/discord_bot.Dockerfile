# docker build -f examples/docker/discord_bot.Dockerfile -t discord_bot . (in a checkout of turnkeep)
# docker run --env-file .env -v sessions:/data discord_bot
FROM python:3.13-slim
RUN useradd --uid 1000 bot && mkdir -p /data/sessions && chown -R bot /data
COPY . /src
RUN pip install --no-cache-dir '/src[examples]'
COPY examples/discord_bot.py /app/
USER bot
ENV TURNKEEP_STORE=/data/sessions
VOLUME /data
CMD ["python", "/app/discord_bot.py"]
