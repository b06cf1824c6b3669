# In a checkout of turnkeep:
#   docker build -f examples/docker/webhook_bot.Dockerfile -t webhook_bot .
#   docker run --env-file .env -v webhook_bot:/data -p 8080:8080 --stop-timeout 20 webhook_bot
FROM python:3.13.11-slim-trixie
RUN useradd --uid 1000 bot && mkdir -p /data/sessions && chown -R bot /data

# Beside a bot of your own, with turnkeep from the registry, these lines are
# RUN pip install --no-cache-dir 'turnkeep[aiogram,postgresql]' openai fastapi uvicorn
COPY pyproject.toml README.md LICENSE /src/
COPY .ci/hatch_build.py /src/.ci/
COPY plugin /src/plugin
COPY adapters /src/adapters
RUN pip install --no-cache-dir '/src[aiogram,postgresql]' openai fastapi uvicorn

COPY examples/webhook_bot.py /app/
USER bot
ENV TURNKEEP_STORE=/data/sessions
VOLUME /data
EXPOSE 8080
CMD ["python", "/app/webhook_bot.py"]
