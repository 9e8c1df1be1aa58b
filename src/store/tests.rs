//! The store over a real file.

use super::*;

/// Gives each record once.
#[derive(Default)]
struct Notes(Mutex<Vec<Record>>);

impl Notes {
    fn add(&self, name: &str, value: &str) {
        let (name, value) = (name.to_owned(), value.to_owned());
        self.0.lock().unwrap().push(Record { table: Table::Clients, name, value });
    }
}

impl Source for Notes {
    fn changed(&self) -> Vec<Record> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

fn pairs(found: &[(String, String)]) -> Vec<(&str, &str)> {
    found.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

/// Waits until the folder's store has something, as another process would see it.
fn seen(folder: &Path, want: usize) -> Vec<(String, String)> {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let found = Store::look(folder, Table::Clients).unwrap();
        if found.len() >= want || Instant::now() > until {
            return found;
        }
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn what_is_kept_is_there_again() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("deep").join("er");
    assert_eq!(Store::look(&folder, Table::Clients).unwrap(), Vec::new());
    let notes = Arc::new(Notes::default());
    {
        let store = Store::open(&folder).unwrap();
        assert_eq!(store.read(Table::Clients).unwrap(), Vec::new());
        notes.add("a", "1");
        let waker = store.keep(Arc::clone(&notes) as Arc<dyn Source>);
        assert_eq!(pairs(&seen(&folder, 1)), [("a", "1")], "without being closed");
        notes.add("b", "2");
        notes.add("a", "3");
        waker.wake();
        assert_eq!(seen(&folder, 2).len(), 2);
        notes.add("c", "4");
    }
    let store = Store::open(&folder).unwrap();
    let found = store.read(Table::Clients).unwrap();
    assert_eq!(pairs(&found), [("a", "3"), ("b", "2"), ("c", "4")], "the end writes the rest");
}

#[test]
fn a_store_has_one_writer_and_a_folder_of_its_owners() {
    let folder = tempfile::tempdir().unwrap();
    let within = folder.path().join("state");
    let store = Store::open(&within).unwrap();
    let second = Store::open(&within).unwrap_err();
    assert!(matches!(second, StoreError::InUse(_)), "{second}");
    assert!(second.to_string().contains("data_dir"), "{second}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        assert_eq!(within.metadata().unwrap().mode() & 0o777, 0o700);
    }
    drop(store);
    drop(Store::open(&within).unwrap());
    fs::write(folder.path().join("file"), "").unwrap();
    let error = Store::open(&folder.path().join("file")).unwrap_err();
    assert!(matches!(error, StoreError::Unusable { .. }), "{error}");
}
