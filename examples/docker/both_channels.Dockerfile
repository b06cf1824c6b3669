# docker build -f examples/docker/both_channels.Dockerfile -t both_channels . (in a checkout of turnkeep)
# docker run --env-file .env -v sessions:/data both_channels
FROM python:3.13-slim
RUN useradd --uid 1000 bot && mkdir -p /data/sessions && chown -R bot /data
COPY . /src
RUN pip install --no-cache-dir '/src[examples]'
COPY examples/both_channels.py /app/
USER bot
ENV TURNKEEP_STORE=/data/sessions
VOLUME /data
CMD ["python", "/app/both_channels.py"]
