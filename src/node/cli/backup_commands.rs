//! What does `floe backup` do?

use super::output::{Document, Reply};
use super::remote_commands::ConfigArgs;
use super::session::Session;
use super::table::{Align, aligned};
use crate::node::failure::{Failure, FailureKind};
use crate::node::remote::keeping::{Kept, Outlook, nobodys};
use crate::node::remote::schedule::Policy;
use crate::node::service::remotes;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::collections::BTreeMap;

#[derive(Debug, Args)]
pub(super) struct BackupArgs {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(subcommand)]
    command: BackupCommand,
}

#[derive(Debug, Subcommand)]
enum BackupCommand {
    /// Show what schedules would do now, and why each remote snapshot stays or goes; nothing is changed
    Preview {
        /// Which schedule [default: all]
        name: Option<String>,
    },
    /// Do what schedules want now, without a node
    Run {
        /// Which schedule [default: all]
        name: Option<String>,
    },
}

pub(super) fn run(session: &Session, args: &BackupArgs) -> Result<Reply, Failure> {
    let settings = args.config.settings()?;
    let (BackupCommand::Preview { name } | BackupCommand::Run { name }) = &args.command;
    let policies = chosen(settings.policies(), name.as_deref())?;
    args.config.with_remotes(session, |known| match &args.command {
        BackupCommand::Preview { .. } => {
            let mut outlooks = Vec::new();
            for (name, policy) in &policies {
                outlooks.extend(known.outlook(name, policy)?.into_iter().map(|outlook| (*name, outlook)));
            }
            Ok(Document::new(table(&outlooks), outlooks.iter().map(|(name, outlook)| plain(name, outlook)).collect()).into())
        }
        BackupCommand::Run { .. } => {
            let mut all = Kept::default();
            for (name, policy) in &policies {
                let kept = known.keep(name, policy, &nobodys)?;
                all.begun.extend(kept.begun);
                all.deleted.extend(kept.deleted);
                all.failures.extend(kept.failures);
            }
            remotes::go_on(known, &mut |_| ())?;
            for uuid in &all.deleted {
                known.forget_there(*uuid)?;
            }
            let mut text = format!("{} made, {} deleted\n", all.begun.len(), all.deleted.len());
            all.failures.iter().for_each(|words| text += &format!("failed: {words}\n"));
            let uuids = |uuids: &[uuid::Uuid]| uuids.iter().map(ToString::to_string).collect::<Vec<_>>();
            let json = json!({"made": uuids(&all.begun), "deleted": uuids(&all.deleted), "failures": all.failures});
            match all.failures.first() {
                None => Ok(Document::about(all.begun, text, json).into()),
                Some(first) => {
                    Err(Failure::new(FailureKind::Io, format!("{}: {first}", text.lines().next().unwrap_or_default())))
                }
            }
        }
    })
}

fn chosen<'a>(policies: &'a BTreeMap<String, Policy>, name: Option<&str>) -> Result<Vec<(&'a str, &'a Policy)>, Failure> {
    let all = policies.iter().map(|(name, policy)| (name.as_str(), policy));
    match name {
        None => Ok(all.collect()),
        Some(name) => match policies.get_key_value(name) {
            Some((name, policy)) => Ok(vec![(name, policy)]),
            None => Err(Failure::new(FailureKind::NotFound, format!("there is no schedule {name:?}"))),
        },
    }
}

fn table(outlooks: &[(&str, Outlook)]) -> String {
    let mut rows = Vec::new();
    for (name, outlook) in outlooks {
        let drive = outlook.name.clone().unwrap_or_else(|| format!("{} (deleted)", outlook.drive));
        let row = |what: String, when: String, does: &str, why: String| {
            [(*name).to_owned(), drive.clone(), what, when, does.into(), why]
        };
        if outlook.due {
            rows.push(row("-".into(), "now".into(), "make", "it is time".into()));
        }
        for verdict in &outlook.verdicts {
            let (does, why) = match verdict.reasons.as_slice() {
                [] => ("delete", "no rule keeps it".to_owned()),
                reasons => ("keep", reasons.join(", ")),
            };
            rows.push(row(verdict.uuid.to_string(), verdict.timestamp.to_seconds(), does, why));
        }
    }
    let heads = [
        ("SCHEDULE", Align::Left),
        ("DRIVE", Align::Left),
        ("REMOTE SNAPSHOT", Align::Left),
        ("CREATED (UTC)", Align::Left),
        ("WOULD", Align::Left),
        ("WHY", Align::Left),
    ];
    aligned(heads, &rows)
}

fn plain(name: &str, outlook: &Outlook) -> Value {
    let verdict = |verdict: &crate::node::remote::schedule::Verdict| {
        json!({
            "uuid": verdict.uuid.to_string(),
            "timestamp": verdict.timestamp.to_string(),
            "keep": !verdict.reasons.is_empty(),
            "reasons": verdict.reasons,
        })
    };
    json!({
        "schedule": name,
        "drive": outlook.drive.to_string(),
        "name": outlook.name,
        "due": outlook.due,
        "remote_snapshots": outlook.verdicts.iter().map(verdict).collect::<Vec<_>>(),
    })
}
