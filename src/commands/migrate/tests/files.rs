//! What happens on disk and on the screen.

use std::{fs, path::Path};

use super::super::{Options, Screen, run};

const OLD: &str = include_str!("../../../../test-old-config.toml");

struct Ended {
    code: u8,
    out: String,
    err: String,
}

fn migrate(path: &Path, options: &Options, terminal: bool) -> Ended {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut screen = Screen { out: &mut out, err: &mut err, terminal };
    let code = run(path, options, &|_| None, &mut screen).unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { code, out: text(out), err: text(err) }
}

fn old(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("c.toml");
    fs::write(&path, OLD).unwrap();
    path
}

#[test]
fn in_place_once_and_then_nothing_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let path = old(folder.path());
    let first = migrate(&path, &Options::default(), true);
    assert_eq!((first.code, first.err.as_str()), (0, ""));
    let backup = folder.path().join("c.toml.bak");
    assert!(first.out.contains("c.toml.bak"), "{}", first.out);
    assert_eq!(fs::read_to_string(&backup).unwrap(), OLD);
    let new = fs::read_to_string(&path).unwrap();
    let stamp = fs::metadata(&path).unwrap().modified().unwrap();
    let second = migrate(&path, &Options::default(), true);
    assert_eq!((second.code, second.err.as_str()), (0, ""));
    assert!(second.out.contains("nothing to do"), "{}", second.out);
    assert_eq!(fs::read_to_string(&path).unwrap(), new);
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), stamp);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "no second backup");
}

#[test]
fn a_dry_run_writes_nothing_and_hides_keys_from_the_screen_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.toml");
    let text = OLD.replace("api_key = \"\"", "api_key = \"sk-0123456789abcdef\"");
    fs::write(&path, &text).unwrap();
    let dry = Options { dry_run: true, output: None };
    let shown = migrate(&path, &dry, true);
    assert_eq!(shown.code, 0);
    assert!(shown.out.contains("[[model]]") && !shown.out.contains("0123456789"), "{}", shown.out);
    assert!(shown.err.contains("Nothing was written"), "{}", shown.err);
    let piped = migrate(&path, &dry, false);
    assert!(piped.out.contains("sk-0123456789abcdef"), "a pipe gets the file itself");
    assert!(!piped.err.contains("0123456789"), "{}", piped.err);
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn an_output_is_a_new_file_and_never_takes_the_place_of_another() {
    let folder = tempfile::tempdir().unwrap();
    let path = old(folder.path());
    let options = Options { output: Some(folder.path().join("new.toml")), dry_run: false };
    assert_eq!(migrate(&path, &options, true).code, 0);
    assert_eq!(fs::read_to_string(&path).unwrap(), OLD);
    let new = fs::read_to_string(folder.path().join("new.toml")).unwrap();
    assert!(new.contains("[[model]]"));
    let again = migrate(&path, &options, true);
    assert_eq!(again.code, 2);
    assert!(again.err.contains("new.toml is there already; name another"), "{}", again.err);
    // The file itself, by another name, is changed in place.
    let itself = folder.path().join(".").join("c.toml");
    let options = Options { output: Some(itself), dry_run: false };
    assert_eq!(migrate(&path, &options, true).code, 0);
    assert_eq!(fs::read_to_string(&path).unwrap(), new);
}

#[test]
fn a_file_elsewhere_must_still_find_what_it_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = old(folder.path());
    fs::write(folder.path().join("key"), "k").unwrap();
    fs::write(&path, OLD.replace("api_key = \"\"", "api_key = \"file:key\"")).unwrap();
    let output = folder.path().join("below/new.toml");
    let options = Options { output: Some(output.clone()), dry_run: false };
    let ended = migrate(&path, &options, true);
    assert_eq!(ended.code, 2);
    assert!(ended.err.contains("would not load where --output puts it"), "{}", ended.err);
    assert!(!output.exists());
}

#[test]
fn a_config_with_mistakes_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = old(folder.path());
    let broken = OLD.replace("worker_models", "wroker_models");
    fs::write(&path, &broken).unwrap();
    let ended = migrate(&path, &Options::default(), true);
    assert_eq!((ended.code, ended.out.as_str()), (2, ""));
    assert!(ended.err.contains("did you mean `worker_models`?"), "{}", ended.err);
    assert!(ended.err.contains("Nothing was written"), "{}", ended.err);
    assert_eq!(fs::read_to_string(&path).unwrap(), broken);
    let missing = migrate(&folder.path().join("no.toml"), &Options::default(), true);
    assert_eq!(missing.code, 2);
}

/// Keys that are not set on this machine do not matter to the form of the file.
#[test]
fn a_variable_that_is_not_set_is_no_obstacle() {
    let folder = tempfile::tempdir().unwrap();
    let path = old(folder.path());
    fs::write(&path, OLD.replace("api_key = \"\"", "api_key = \"env:NOT_SET_HERE\"")).unwrap();
    assert_eq!(migrate(&path, &Options::default(), true).code, 0);
    assert!(fs::read_to_string(&path).unwrap().contains("\"env:NOT_SET_HERE\""));
}
