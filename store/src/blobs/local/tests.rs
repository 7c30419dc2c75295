//! What the local folder promises, tried on a real one.

use std::sync::Arc;

use super::*;
use crate::blobs::MemoryStore;
use crate::testing::Folder;

/// Runs the same steps on both stores: what callers may rely on does not depend on which.
fn check_both(steps: impl Fn(&dyn Blobs)) {
    let folder = Folder::new();
    steps(&LocalStore::open(folder.path()).unwrap());
    steps(&MemoryStore::new());
}

#[test]
fn the_first_put_wins_and_the_second_finds_the_key_taken() {
    check_both(|blobs| {
        assert_eq!(blobs.put_if_absent("system/a/1", b"one").unwrap(), Put::Written);
        assert_eq!(blobs.put_if_absent("system/a/1", b"two").unwrap(), Put::Taken);
        assert_eq!(blobs.get("system/a/1").unwrap().as_deref(), Some(&b"one"[..]));
        assert_eq!(blobs.get_start("system/a/1", 2).unwrap().as_deref(), Some(&b"on"[..]));
        assert_eq!(blobs.get_start("system/a/1", 9).unwrap().as_deref(), Some(&b"one"[..]));
        assert_eq!(blobs.get("system/a/2").unwrap(), None);
        assert_eq!(blobs.get("system/a/1/below").unwrap(), None);
    });
}

#[test]
fn a_list_holds_the_keys_below_the_folder_in_order() {
    check_both(|blobs| {
        for key in ["tables/b/2", "tables/b/1", "tables/a/9", "tablesx/1", "other"] {
            blobs.put_if_absent(key, b"x").unwrap();
        }
        assert_eq!(blobs.list("tables").unwrap(), ["tables/a/9", "tables/b/1", "tables/b/2"]);
        assert_eq!(blobs.list("nothing").unwrap(), Vec::<String>::new());
    });
}

#[test]
fn publishing_twice_is_publishing_once_and_never_overwrites() {
    check_both(|blobs| {
        blobs.put_if_absent("system/staging/1", b"rows").unwrap();
        blobs.put_if_absent("system/staging/2", b"rows").unwrap();
        blobs.put_if_absent("system/staging/3", b"else").unwrap();
        blobs.publish("system/staging/1", "tables/1").unwrap();
        blobs.publish("system/staging/1", "tables/1").unwrap();
        blobs.publish("system/staging/2", "tables/1").unwrap();
        let other = blobs.publish("system/staging/3", "tables/1").unwrap_err();
        assert!(matches!(other, StoreError::Damaged { .. }), "{other}");
        let missing = blobs.publish("system/staging/4", "tables/4").unwrap_err();
        assert!(matches!(missing, StoreError::Missing { .. }), "{missing}");
        blobs.delete("system/staging/1").unwrap();
        blobs.delete("system/staging/1").unwrap();
        assert_eq!(blobs.get("tables/1").unwrap().as_deref(), Some(&b"rows"[..]));
    });
}

#[test]
fn a_replaced_object_holds_the_last_bytes() {
    check_both(|blobs| {
        blobs.replace("system/cursors/a", b"1").unwrap();
        blobs.replace("system/cursors/a", b"2").unwrap();
        assert_eq!(blobs.get("system/cursors/a").unwrap().as_deref(), Some(&b"2"[..]));
    });
}

#[test]
fn of_many_writers_of_one_key_exactly_one_wins() {
    let folder = Folder::new();
    let store = Arc::new(LocalStore::open(folder.path()).unwrap());
    let other = Arc::new(LocalStore::open(folder.path()).unwrap());
    let writers: Vec<_> = (0..8_u8)
        .map(|number| {
            let store = Arc::clone(if number % 2 == 0 { &store } else { &other });
            std::thread::spawn(move || store.put_if_absent("system/a/1", &[number]).unwrap())
        })
        .collect();
    let puts: Vec<Put> = writers.into_iter().map(|writer| writer.join().unwrap()).collect();
    assert_eq!(puts.iter().filter(|put| **put == Put::Written).count(), 1, "{puts:?}");
}

#[test]
fn leftovers_of_the_dead_are_removed_and_files_of_the_living_are_not() {
    let folder = Folder::new();
    let alive = LocalStore::open(folder.path()).unwrap();
    let in_use = alive.write_temporary(b"half").unwrap();
    let dead = LocalStore::open(folder.path()).unwrap();
    let leftover = dead.write_temporary(b"half").unwrap();
    drop(dead);
    let next = LocalStore::open(folder.path()).unwrap();
    assert!(in_use.exists());
    assert!(!leftover.exists());
    next.put_if_absent("system/a/1", b"x").unwrap();
    let temporary = next.list("system/tmp").unwrap();
    let unlocked: Vec<_> = temporary.iter().filter(|key| !key.ends_with("lock")).collect();
    assert_eq!(unlocked.len(), 1, "only the one in use: {unlocked:?}");
}

#[test]
fn after_a_failed_sync_nothing_is_written() {
    let folder = Folder::new();
    let store = LocalStore::open(folder.path()).unwrap();
    store.put_if_absent("system/a/1", b"x").unwrap();
    let outcome = store.synced(Err(io::Error::other("no")), Path::new("x"));
    let is_transient = outcome.as_ref().err().map(StoreError::is_transient);
    assert!(matches!(outcome, Err(StoreError::SyncFailed { source: Some(_), .. })));
    assert_eq!(is_transient, Some(false), "it was to be tried again");
    for refused in [
        store.put_if_absent("system/a/1", b"x").map(|_| ()),
        store.put_if_absent("system/a/2", b"x").map(|_| ()),
        store.replace("system/a/2", b"x"),
        store.publish("system/a/1", "tables/1"),
        store.delete("system/a/1"),
    ] {
        assert!(matches!(refused, Err(StoreError::SyncFailed { .. })), "{refused:?}");
    }
    assert_eq!(store.get("system/a/1").unwrap().as_deref(), Some(&b"x"[..]));
}

#[test]
fn a_store_for_reading_creates_nothing_and_writes_nothing() {
    let folder = Folder::new();
    assert!(LocalStore::open_read_only(folder.path().join("none")).is_err());
    fs::create_dir_all(folder.path()).unwrap();
    let store = LocalStore::open_read_only(folder.path()).unwrap();
    let refused = store.put_if_absent("system/a/1", b"x").unwrap_err();
    assert!(matches!(refused, StoreError::ReadOnly { .. }), "{refused}");
    assert_eq!(store.list("system").unwrap(), Vec::<String>::new());
}

#[test]
fn a_probe_tells_a_fit_folder_from_an_unfit_one_and_leaves_nothing() {
    let folder = Folder::new();
    LocalStore::probe(folder.path()).unwrap();
    assert!(!folder.path().exists());
    fs::create_dir_all(folder.path()).unwrap();
    LocalStore::probe(folder.path()).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    fs::write(folder.path().join("file"), b"x").unwrap();
    for below in ["file", "file/data"] {
        let unfit = LocalStore::probe(folder.path().join(below)).unwrap_err();
        assert!(unfit.to_string().contains("not a folder"), "{unfit}");
    }
    let unfit = LocalStore::probe("/proc/ringwatch").unwrap_err();
    assert!(unfit.to_string().contains("not writable"), "{unfit}");
}

#[test]
#[should_panic(expected = "A10")]
fn a_key_that_leaves_the_folder_is_a_bug() {
    let folder = Folder::new();
    let store = LocalStore::open(folder.path()).unwrap();
    let _never = store.put_if_absent("system/../../etc/x", b"x");
}
