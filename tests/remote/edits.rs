//! Does what people say of a remote snapshot count at its location too?

use floe::DriveOptions;

use crate::stage::{BLOCK, create, remotes, store};

#[test]
fn editing_back_what_an_interrupted_edit_changed_counts_at_the_location() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = store(256 << 20);
    let drive = store.create_drive(DriveOptions::new(64 * BLOCK)).expect("a drive");
    let remotes = remotes(&store, directory.path());
    let uuid = create(&remotes, &drive);
    // As it is left by whoever is killed between telling the location and noting it here.
    let (repository, mut manifest) = remotes.manifest(uuid).expect("it is there");
    let before = manifest.description.clone();
    manifest.revision += 1;
    manifest.description.name = "interrupted".into();
    repository.put_manifest(&manifest).expect("a manifest");
    let edited = remotes.edit(uuid, before.clone()).expect("an edit");
    let there = repository.manifest(uuid).expect("a list").expect("it is there");
    assert_eq!((there.description, there.revision), (before, edited.revision));
}
