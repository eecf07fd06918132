//! How does the command look after a location?

use super::exit::Exit;
use super::output::{Document, Reply, Style};
use super::progress::Progress;
use super::size::rounded;
use super::table::{Align, aligned, fields};
use crate::node::failure::Failure;
use crate::node::remote::collect::{self, Fate, Options, PackFate};
use crate::node::remote::lease::{Conditions, probe};
use crate::node::remote::rebuild::rebuild_index;
use crate::node::remote::repository::Repository;
use crate::node::remote::usage::usage;
use crate::node::remote::verify::{self, Problem};
use serde_json::{Value, json};

/// Asks the store what it can do, and counts what it holds.
pub(super) fn check(repository: &Repository) -> Result<Reply, Failure> {
    let conditions = probe(repository.bucket())?;
    let usage = usage(repository)?;
    let (word, follows) = match conditions {
        Conditions::Enforced => ("enforced", "several nodes may collect garbage: one at a time does"),
        Conditions::Ignored => {
            ("ignored", "collecting garbage needs --alone, and somebody who sees to it that one node alone does")
        }
        Conditions::Refused => {
            ("refused", "collecting garbage needs --alone, and somebody who sees to it that one node alone does")
        }
    };
    let about = repository.about();
    let mut text = fields(&[
        ("repository", about.uuid.to_string()),
        ("encrypted", if about.encrypted { "yes" } else { "no" }.into()),
        ("conditional puts", format!("{word}: {follows}")),
        ("packs", format!("{} of {}", usage.packs, rounded(usage.stored_bytes))),
        ("needed", rounded(usage.live_bytes)),
        ("garbage", rounded(usage.garbage_bytes)),
    ]);
    let rows: Vec<_> = usage
        .snapshots
        .iter()
        .map(|one| {
            let sizes = [one.referenced_bytes, one.stored_bytes, one.unique_stored_bytes].map(rounded);
            let [referenced, stored, unique] = sizes;
            [one.name.clone(), one.uuid.to_string(), referenced, stored, unique]
        })
        .collect();
    if !rows.is_empty() {
        let heads = [
            ("NAME", Align::Left),
            ("UUID", Align::Left),
            ("REFERENCED", Align::Right),
            ("STORED", Align::Right),
            ("UNIQUE", Align::Right),
        ];
        text += &format!("\n{}", aligned(heads, &rows));
    }
    let snapshots: Vec<Value> = usage
        .snapshots
        .iter()
        .map(|one| {
            json!({
                "uuid": one.uuid.to_string(),
                "name": one.name,
                "referenced_size": one.referenced_bytes,
                "stored_size": one.stored_bytes,
                "unique_stored_size": one.unique_stored_bytes,
            })
        })
        .collect();
    let json = json!({
        "repository": about.uuid.to_string(),
        "encrypted": about.encrypted,
        "conditional_put": word,
        "packs": usage.packs,
        "stored_size": usage.stored_bytes,
        "live_size": usage.live_bytes,
        "garbage_size": usage.garbage_bytes,
        "remote_snapshots": snapshots,
    });
    Ok(Document::new(text, json).into())
}

/// Collects garbage, or says what would go.
pub(super) fn collect(style: Style, repository: &Repository, options: &Options, dry_run: bool) -> Result<Reply, Failure> {
    let bar = Progress::count(style, "collecting");
    let collected = collect::collect(repository, options, dry_run, &mut |at| bar.of_total(at.done, at.total))?;
    let rows: Vec<_> = collected.fates.iter().map(fate_row).collect();
    let heads =
        [("PACK", Align::Left), ("SIZE", Align::Right), ("NEEDED", Align::Right), ("FATE", Align::Left), ("WHY", Align::Left)];
    let mut text = if rows.is_empty() { String::new() } else { aligned(heads, &rows) };
    let would = if dry_run { "would be " } else { "" };
    text += &format!(
        "{} packs; {} {would}freed now, {} {would}doomed, {} {would}packed again\n",
        collected.packs,
        rounded(collected.freed_bytes),
        rounded(collected.doomed_bytes),
        rounded(collected.repacked_bytes)
    );
    let fate = |one: &PackFate| {
        let [_, _, _, fate, why] = fate_row(one);
        json!({"pack": one.pack.to_string(), "stored_size": one.stored_bytes, "live_size": one.live_bytes, "fate": fate, "why": why})
    };
    let json = json!({
        "dry_run": dry_run,
        "packs": collected.packs,
        "fates": collected.fates.iter().map(fate).collect::<Vec<_>>(),
        "freed_size": collected.freed_bytes,
        "doomed_size": collected.doomed_bytes,
        "repacked_size": collected.repacked_bytes,
        "dead_sessions": collected.dead_sessions.iter().map(ToString::to_string).collect::<Vec<_>>(),
    });
    Ok(Document::new(text, json).into())
}

fn fate_row(one: &PackFate) -> [String; 5] {
    let (fate, why) = match &one.fate {
        Fate::Unreferenced => ("doomed", "no remote snapshot needs it".to_owned()),
        Fate::MostlyDead => ("doomed", "little of it is needed, which is packed again".to_owned()),
        Fate::Damaged(why) => ("stays", format!("little of it is needed, and it cannot be packed again: {why}")),
        Fate::Waiting(seconds) => ("waits", format!("it is doomed, and its grace period lasts for {seconds} seconds more")),
        Fate::Postponed(session) => ("waits", format!("it is doomed, and the upload {session} may rely on it")),
        Fate::Spared => ("stays", "it was doomed, and is needed again".to_owned()),
        Fate::Deleted => ("deleted", "its grace period is over".to_owned()),
    };
    [one.pack.to_string(), rounded(one.stored_bytes), rounded(one.live_bytes), fate.into(), why]
}

/// Looks for what is wrong.
pub(super) fn verify(style: Style, repository: &Repository, read_data: bool) -> Result<Reply, Failure> {
    let bar = Progress::count(style, "verifying");
    let verified = verify::verify(repository, read_data, &mut |done, total| bar.of_total(done, total))?;
    let mut text = format!("{} remote snapshots, {} packs", verified.snapshots, verified.packs);
    if read_data {
        text += &format!(", {} read", rounded(verified.read_bytes));
    }
    text += if verified.problems.is_empty() { ": clean\n" } else { "\n" };
    for problem in &verified.problems {
        text += &format!("{:?}: {}: {}\n", problem.kind, problem.object, problem.message);
        for affected in &problem.affected {
            text += &format!("  affects remote snapshot {} {}\n", affected.uuid, affected.name.as_deref().unwrap_or("?"));
        }
    }
    let plain = |problem: &Problem| {
        let affected = problem.affected.iter().map(|one| json!({"uuid": one.uuid.to_string(), "name": one.name}));
        json!({
            "kind": format!("{:?}", problem.kind),
            "object": problem.object,
            "message": problem.message,
            "remote_snapshots": affected.collect::<Vec<_>>(),
        })
    };
    let json = json!({
        "clean": verified.problems.is_empty(),
        "remote_snapshots": verified.snapshots,
        "packs": verified.packs,
        "read_size": verified.read_bytes,
        "problems": verified.problems.iter().map(plain).collect::<Vec<_>>(),
    });
    let exit = if verified.problems.is_empty() { Exit::Done } else { Exit::CheckFailed };
    Ok(Document { exit, ..Document::new(text, json) }.into())
}

/// Makes the index again.
pub(super) fn rebuild(repository: &Repository, holder: &str, alone: bool) -> Result<Reply, Failure> {
    let rebuilt = rebuild_index(repository, holder, alone)?;
    let mut text = format!("{} packs are named again, {} index objects were of no use\n", rebuilt.packs, rebuilt.removed);
    rebuilt.damaged.iter().for_each(|pack| text += &format!("pack {pack} cannot say what is in it\n"));
    let damaged: Vec<_> = rebuilt.damaged.iter().map(ToString::to_string).collect();
    Ok(Document::new(text, json!({"packs": rebuilt.packs, "removed": rebuilt.removed, "damaged": damaged})).into())
}
