//! Does an encrypted location tell nothing to whoever has no key, and everything to whoever has one?

use std::fs;
use std::path::Path;

use floe::DriveOptions;
use floe::node::failure::FailureKind;
use floe::node::remote::location::Location;
use floe::node::remote::repository::Repository;
use floe::node::remote::repository::keys::Key;
use floe::node::remote::upload::{Source, upload};
use floe::node::remote::{fetch, repository::manifest::Manifest};
use floe::node::timestamp::Timestamp;

use crate::stage::{BLOCK, bytes_of, frozen, store};

const WORDS: &[u8] = b"what nobody is to read";

fn files(directory: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn encrypted_location_is_read_with_any_of_its_keys_and_with_no_other() {
    let directory = tempfile::tempdir().expect("a directory");
    let location = Location { url: format!("file://{}", directory.path().display()), ..Location::default() };
    let bucket = || location.bucket("GVA").expect("a bucket");
    let words = Key::Passphrase("correct horse".into());
    let repository = Repository::init(bucket(), Some(&words)).expect("a repository");
    let store = store(1 << 30);
    let drive = store.create_drive(DriveOptions::new(1 << 20).name("secret drive")).expect("a drive");
    for block in 0..100 {
        drive.write_at(&WORDS.repeat(20), block * BLOCK).expect("a write");
    }
    let snapshot = frozen(&drive);
    let uploaded = upload(&repository, &Source { snapshot: &snapshot, since: None }, &mut |_| ()).expect("it arrives");
    let uuid = floe::Uuid::new_v4();
    let mut manifest = Manifest::new(uuid, Timestamp::now(), drive.uuid(), "secret drive".into(), &uploaded.image);
    manifest.description.name = "secret name".into();
    uploaded.session.end_with(&repository, &manifest).expect("a manifest");
    for path in files(directory.path()) {
        let bytes = fs::read(&path).expect("an object");
        for secret in [WORDS, b"secret drive", b"secret name"] {
            assert!(!bytes.windows(secret.len()).any(|window| window == secret), "{} tells it", path.display());
        }
    }
    let restored = |key: &Key| {
        let repository = Repository::open(bucket(), Some(key))?;
        let manifest = repository.manifest(uuid)?.expect("a manifest");
        let clone = store.create_drive(DriveOptions::new(1 << 20).name("c"))?;
        fetch::restore(&repository, &manifest.image(), &clone, &mut |_| ())?;
        let found = bytes_of(&clone);
        clone.delete()?;
        Ok::<_, floe::node::failure::Failure>(found)
    };
    assert!(restored(&words).expect("the right words") == bytes_of(&drive));
    for wrong in [Key::Passphrase("correct hors".into()), Key::File(vec![7; 32])] {
        assert_eq!(restored(&wrong).expect_err("the wrong key").kind(), FailureKind::Denied);
    }
    assert_eq!(Repository::open(bucket(), None).err().expect("no key").kind(), FailureKind::Denied);

    let file = Key::File(vec![9; 32]);
    let wrapped = repository.add_key(&words, &file).expect("another key");
    assert!(restored(&file).expect("the other key") == bytes_of(&drive));
    let old = repository.keys().expect("keys").into_iter().find(|key| key.uuid != wrapped.uuid).expect("the first one");
    repository.remove_key(old.uuid).expect("a key less");
    assert_eq!(restored(&words).expect_err("it was removed").kind(), FailureKind::Denied);
    assert_eq!(repository.remove_key(wrapped.uuid).expect_err("it is the last one").kind(), FailureKind::InvalidArgument);
    assert!(restored(&file).expect("the other key") == bytes_of(&drive));
}

#[test]
fn object_in_another_ones_place_is_noticed() {
    let directory = tempfile::tempdir().expect("a directory");
    let location = Location { url: format!("file://{}", directory.path().display()), ..Location::default() };
    let key = Key::File(vec![3; 32]);
    let repository = Repository::init(location.bucket("GVA").expect("a bucket"), Some(&key)).expect("a repository");
    let store = store(1 << 30);
    let mut names = Vec::new();
    for fill in [1, 2] {
        let drive = store.create_drive(DriveOptions::new(1 << 20).name("d")).expect("a drive");
        drive.write_at(&[fill; 8192], 0).expect("a write");
        let snapshot = frozen(&drive);
        let uploaded = upload(&repository, &Source { snapshot: &snapshot, since: None }, &mut |_| ()).expect("it arrives");
        let manifest = Manifest::new(floe::Uuid::new_v4(), Timestamp::now(), drive.uuid(), "".into(), &uploaded.image);
        uploaded.session.end_with(&repository, &manifest).expect("a manifest");
    }
    for list in repository.manifest_names().expect("names").into_values() {
        names.extend(list);
    }
    let [one, other] = names.try_into().expect("two manifests");
    fs::copy(directory.path().join(&one), directory.path().join(&other)).expect("a copy");
    let (manifests, damaged) = repository.manifests().expect("a list");
    assert_eq!((manifests.len(), damaged.len()), (1, 1));
    assert_eq!(damaged[0].kind(), FailureKind::Corrupt);
}
