//! `yizhand config`: all settings and where they come from.

use clap::Args;
use serde_json::{Value, json};
use yizhan_client::{
    answer::{Answer, Column},
    error::{Error, Result},
};

use super::Dir;
use crate::config;

const COLUMNS: &[Column] = &["name", "value", "origin", "default", "limit", "meaning"];

#[derive(Args)]
pub struct Config {
    #[command(flatten)]
    dir: Dir,
}

impl Config {
    pub fn run(self) -> Result<Answer> {
        let environment = |name: &str| std::env::var(name).ok();
        let (_, values) =
            config::load(&self.dir.dir, &[], environment).map_err(|error| refused(&error))?;
        let item = |setting: config::Setting| {
            let resolved = &values[setting.name];
            json!({
                "name": setting.name,
                "value": config::without_password(&resolved.value),
                "origin": resolved.origin.to_string(),
                "default": setting.default,
                "limit": setting.limit,
                "variable": config::variable(setting.name),
                "meaning": setting.meaning,
            })
        };
        let items: Vec<Value> = config::all().into_iter().map(item).collect();
        Ok(Answer::shaped(json!({"items": items}), "items", COLUMNS))
    }
}

/// What a command says about settings that cannot be used.
pub fn refused(error: &config::Error) -> Error {
    let source = std::error::Error::source(error);
    let why = source.map(|source| format!(": {source}")).unwrap_or_default();
    Error::failed("CONFIG", format!("{error}{why}"))
        .advice("`yizhand config` lists settings and limits")
}
