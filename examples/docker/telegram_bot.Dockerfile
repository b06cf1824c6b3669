# docker build -f examples/docker/telegram_bot.Dockerfile -t telegram_bot . (in a checkout of turnkeep)
# docker run --env-file .env -v sessions:/data telegram_bot
FROM python:3.13-slim
RUN useradd --uid 1000 bot && mkdir -p /data/sessions && chown -R bot /data
COPY . /src
RUN pip install --no-cache-dir '/src[examples]'
COPY examples/telegram_bot.py /app/
USER bot
ENV TURNKEEP_STORE=/data/sessions
VOLUME /data
CMD ["python", "/app/telegram_bot.py"]
