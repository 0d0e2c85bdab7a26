//! How far a long operation is: a bar on a terminal's stderr, silence in a pipe.

use std::{io::IsTerminal, time::Duration};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar over `total` (0: not known) `unit`s.
pub fn bar(total: u64, unit: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = if total == 0 { ProgressBar::new_spinner() } else { ProgressBar::new(total) };
    bar.set_draw_target(ProgressDrawTarget::stderr());
    let counts = match (total, unit) {
        (0, "bytes") => "{bytes}".to_owned(),
        (0, unit) => format!("{{human_pos}} {unit}"),
        (_, "bytes") => "{bar:30} {bytes}/{total_bytes} {eta}".to_owned(),
        (_, unit) => format!("{{bar:30}} {{human_pos}}/{{human_len}} {unit} {{eta}}"),
    };
    let template = format!("{{spinner}} {counts} {{msg}}");
    let style = ProgressStyle::with_template(&template).expect("BUG: the template is fixed");
    bar.set_style(style);
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// What people want to know besides the answer: said on a terminal only.
pub fn note(text: &str) {
    if std::io::stderr().is_terminal() {
        eprintln!("{text}");
    }
}
