//! Can a recovered store be worked with until nothing is left in it?

use floe::{Store, Uuid};

use crate::dice::Dice;
use crate::judge::{Outcome, Reading, done, judge, same};
use crate::operation::{Member, Operation, State};
use crate::runner::Settings;
use crate::verdict::{Recovered, check};

/// More calls of `reclaim` than any deletion here takes.
const RECLAIMS_MAX: usize = 10_000;

/// Gives back what was deleted, writes, closes, opens, and deletes everything; nothing is left then (A6, A7).
pub fn work_until_empty(recovered: Recovered, settings: Settings, dice: &mut Dice) -> Outcome {
    let Recovered { device, store, mut state, .. } = recovered;
    rewrite_everything(&store, &mut state, dice)?;
    drain(&store, &state)?;
    check(&store, &state.model)?;
    for drive in state.model.drives.iter().map(|drive| drive.uuid).collect::<Vec<_>>() {
        act(&store, &mut state, &Operation::Write { drive, offset: 0, bytes: vec![dice.next() as u8; 100].into() })?;
    }
    act(&store, &mut state, &Operation::Flush)?;
    judge(&store, &state.model, Reading::Thorough)?;
    done("close", store.close())?;
    drop(store);
    let store = done("open", settings.options().open_on(device))?;
    same("clean after a close", &store.info().was_clean, &true)?;
    judge(&store, &state.model, Reading::Thorough)?;
    check(&store, &state.model)?;
    while !(state.model.drives.is_empty() && state.model.snapshots.is_empty()) {
        let drive = dice.pick(&state.model.drives).map(|drive| Operation::DeleteDrive { drive: drive.uuid });
        let snapshot = dice.pick(&state.model.snapshots).map(|snapshot| Operation::DeleteSnapshot { snapshot: snapshot.uuid });
        let first = if dice.once_in(2) { drive.or(snapshot) } else { snapshot.or(drive) };
        if let Some(operation) = first {
            act(&store, &mut state, &operation)?;
        }
        if dice.once_in(3) {
            drain(&store, &state)?;
        }
    }
    for note in state.model.notes.iter().map(|note| note.uuid).collect::<Vec<_>>() {
        act(&store, &mut state, &Operation::DeleteNote { note })?;
    }
    same("notes after everything was deleted", &store.notes(), &Vec::new())?;
    drain(&store, &state)?;
    same("A6: data bytes after everything was deleted", &store.usage().data_bytes, &0)?;
    check(&store, &state.model)?;
    done("close", store.close())
}

/// A3: after a snapshot of every drive the same bytes are written again. Whatever the power cut left of the checksums, nothing has
/// changed.
fn rewrite_everything(store: &Store, state: &mut State, dice: &mut Dice) -> Outcome {
    let drives: Vec<Uuid> = state.model.drives.iter().map(|drive| drive.uuid).collect();
    let member = |drive: &Uuid| {
        let (drive, uuid, name) = (*drive, dice.uuid(), "last".to_owned());
        Member { drive, uuid, name, attributes: Vec::new(), bookmark: None }
    };
    let members = drives.iter().map(member).collect::<Vec<_>>();
    if members.is_empty() {
        return Ok(());
    }
    act(store, state, &Operation::Snapshot { members })?;
    for drive in drives {
        let image = &state.model.drives[state.model.index_of(drive)].image;
        for range in image.mapped_ranges() {
            let write = Operation::Write { drive, offset: range.start, bytes: image.bytes(range.clone()).into() };
            done("writing what is there", write.perform(store))?;
        }
    }
    judge(store, &state.model, Reading::Thorough)
}

/// Reclaims to the end, after which space used and space reachable are the same (A7).
pub fn drain(store: &Store, state: &State) -> Outcome {
    let mut calls = 0;
    while !done("reclaim", store.reclaim(1 + calls as u64 % 97))?.done {
        calls += 1;
        if calls > RECLAIMS_MAX {
            return Err("reclaim never ends".to_owned());
        }
    }
    let usage = store.usage();
    same("A7: bytes in use and bytes reachable", &usage.data_bytes, &state.model.reachable())?;
    same("deleted things left to reclaim", &usage.reclaiming, &0)
}

fn act(store: &Store, state: &mut State, operation: &Operation) -> Outcome {
    match operation.perform(store) {
        // A full store refuses, and nothing has changed.
        Err(error) if error.kind() == floe::ErrorKind::NoSpace => return Ok(()),
        result => done(format_args!("{operation:?}"), result)?,
    }
    *state = operation.foresee(state, store)?.pop().expect("there is a state after an operation");
    Ok(())
}
