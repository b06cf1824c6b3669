# In a checkout of turnkeep:
#   docker build -f examples/docker/both_channels.Dockerfile -t both_channels .
#   docker run --env-file .env -v both_channels:/data --stop-timeout 20 both_channels
FROM python:3.13.11-slim-trixie
RUN useradd --uid 1000 bot && mkdir -p /data/sessions && chown -R bot /data

# Beside a bot of your own, with turnkeep from the registry, these lines are
# RUN pip install --no-cache-dir 'turnkeep[aiogram,discord]' openai
COPY pyproject.toml README.md LICENSE /src/
COPY .ci/hatch_build.py /src/.ci/
COPY plugin /src/plugin
COPY adapters /src/adapters
RUN pip install --no-cache-dir '/src[aiogram,discord]' openai

COPY examples/both_channels.py /app/
USER bot
ENV TURNKEEP_STORE=/data/sessions
VOLUME /data
CMD ["python", "/app/both_channels.py"]
