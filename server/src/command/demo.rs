//! `yizhand demo`: a whole network on this machine.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use yizhan_client::{
    answer::{Answer, Format},
    document::reports,
    error::{Error, Result},
};

use super::failure;
use crate::{
    demo::{self, Demo, PASSWORD, Size, USER},
    found::CA_FILE,
};

#[derive(Args)]
pub struct Run {
    /// Where the nodes live, and stay; a temporary directory if not given
    #[arg(long, value_name = "D")]
    pub dir: Option<PathBuf>,
    /// Start, import, wait until all agree, print the association report, and stop
    #[arg(long)]
    pub once: bool,
    /// How much data: the reference data alone, or a hundred times the members
    #[arg(long, value_enum, default_value_t = Size::Small)]
    pub size: Size,
}

impl Run {
    pub async fn run(self, format: Format) -> Result<Answer> {
        let unlistened =
            |error| Error::failed("SIGNALS", format!("signals cannot be received: {error}"));
        let mut terminate = signal(SignalKind::terminate()).map_err(unlistened)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(unlistened)?;
        let scratch = tempfile::tempdir().map_err(|error| {
            Error::failed("DIRECTORY", format!("no temporary directory: {error}"))
        })?;
        let dir = self.dir.unwrap_or_else(|| scratch.path().to_owned());
        let network = demo::start(&dir, self.size, |step| eprintln!("{step}"))
            .await
            .map_err(|error| failure("DEMO_FAILED", &error))?;
        if self.once {
            let report = demo::report(&network).await;
            let document = document(&network);
            network.stop().await;
            let report = report.map_err(|error| failure("DEMO_FAILED", &error))?;
            return Ok(reports::answer(&report).with("network", document));
        }
        match format {
            Format::Json => println!("{}", document(&network)),
            Format::Table | Format::Csv => println!("{}", told(&network)),
        }
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        network.stop().await;
        Ok(Answer::nothing())
    }
}

fn document(network: &Demo) -> Value {
    let nodes = network.nodes.iter().zip(&network.reports).map(|(node, (_, report))| {
        json!({
            "point": node.point.to_string(),
            "server": format!("https://127.0.0.1:{}", node.running.public.port()),
            "link": node.running.link.to_string(),
            "dir": node.dir.display().to_string(),
            "ca": node.dir.join(CA_FILE).display().to_string(),
            "import": {
                "rows": report.rows,
                "accepted": report.accepted,
                "unchanged": report.unchanged,
                "skipped": report.skipped,
                "rejected": report.rejected_rows,
                "ambiguous": report.ambiguous_rows,
            },
        })
    });
    json!({
        "nodes": nodes.collect::<Vec<_>>(),
        "user": USER,
        "password": PASSWORD,
        "agreed_after_ms": network.agreed_after.as_millis() as u64,
    })
}

fn told(network: &Demo) -> String {
    let mut text = String::from("\n驿站 Yizhan: a network of three nodes runs on this machine\n\n");
    for node in &network.nodes {
        let port = node.running.public.port();
        let ca = node.dir.join(CA_FILE);
        text.push_str(&format!(
            "  {:<10} --server https://127.0.0.1:{port} --ca {}\n",
            node.point.as_str(),
            ca.display()
        ));
    }
    let last = network.nodes.last().expect("BUG: the demo has three nodes");
    let at = format!(
        "--server https://127.0.0.1:{} --ca {}",
        last.running.public.port(),
        last.dir.join(CA_FILE).display()
    );
    text.push_str(&format!(
        "\nSign in as {USER} with the password {PASSWORD}\n\nThings to try:\n\
         \x20 yizhan {at} login --name {USER}\n\
         \x20 yizhan {at} status\n\
         \x20 yizhan {at} member search 张伟\n\
         \x20 yizhan {at} event list --series TALK\n\
         \nStop with Ctrl-C.\n"
    ));
    text
}
