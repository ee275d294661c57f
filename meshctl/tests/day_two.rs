//! Commands of the second day against an API server in memory: tags, upgrades, whose an installation is, reports.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "day_two/api.rs"]
mod api;
#[path = "day_two/look.rs"]
mod look;
#[path = "day_two/port.rs"]
mod port;
#[path = "day_two/report.rs"]
mod report;
#[path = "day_two/tag.rs"]
mod tag;
#[path = "day_two/upgrade.rs"]
mod upgrade;
