"""The embedded planet: a synthetic world that ships as code. Results on it are synthetic and are always called so."""
