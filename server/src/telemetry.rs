//! Logs: where they go and how they look. Fields carry codes and counts, never what people wrote.

use tracing_subscriber::EnvFilter;

use crate::config::{Config, LogFormat};

/// Starts to log to standard error; a second call changes nothing.
pub fn start(config: &Config) {
    let filter = EnvFilter::try_new(&config.log).unwrap_or_else(|_| EnvFilter::new("info"));
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match config.log_format {
        LogFormat::Text => logs.with_ansi(false).try_init(),
        LogFormat::Json => logs.json().try_init(),
    };
    // Somebody else logs in this process already: a test, or another node of the demo.
    drop(started);
}
