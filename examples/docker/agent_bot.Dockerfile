# In a checkout of turnkeep:
#   docker build -f examples/docker/agent_bot.Dockerfile -t agent_bot .
#   docker run --env-file .env -v agent_bot:/data --stop-timeout 20 agent_bot
FROM python:3.13.11-slim-trixie
RUN useradd --uid 1000 bot && mkdir -p /data/sessions && chown -R bot /data

# Beside a bot of your own, with turnkeep from the registry, these lines are
# RUN pip install --no-cache-dir 'turnkeep[aiogram]' openai
COPY pyproject.toml README.md LICENSE /src/
COPY .ci/hatch_build.py /src/.ci/
COPY plugin /src/plugin
COPY adapters /src/adapters
RUN pip install --no-cache-dir '/src[aiogram]' openai

COPY examples/agent_bot.py /app/
USER bot
ENV TURNKEEP_STORE=/data/sessions
VOLUME /data
CMD ["python", "/app/agent_bot.py"]
