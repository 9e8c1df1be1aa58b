//! The thread that notices.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use super::*;

const PACE: Pace = Pace {
    quiet: Duration::from_millis(30),
    longest: Duration::from_millis(400),
    interval: Duration::from_millis(100),
};

/// Waits for something that ought to happen soon; long, because the machine may be busy.
fn soon(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(20), "waited too long for {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn pause(millis: u64) {
    thread::sleep(Duration::from_millis(millis));
}

/// The file at `path` is followed.
fn followed(path: &Path) -> (AppState, Reload) {
    let app = app(path);
    let reload = Reload::start(source(path), app.clone(), PACE).unwrap();
    (app, reload)
}

/// Saves as editors and careful programs do.
fn replace(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    fs::write(&beside, text).unwrap();
    fs::rename(beside, path).unwrap();
}

#[test]
fn every_way_to_save_a_file_is_noticed() {
    let write: fn(&Path, &str) = |path, text| fs::write(path, text).unwrap();
    let in_pieces: fn(&Path, &str) = |path, text| {
        let mut file = fs::File::create(path).unwrap();
        for piece in text.as_bytes().chunks(40) {
            file.write_all(piece).unwrap();
            pause(5);
        }
    };
    let delete_and_create: fn(&Path, &str) = |path, text| {
        fs::remove_file(path).unwrap();
        // Longer than it has to be quiet: it is gone for a moment only.
        pause(100);
        fs::write(path, text).unwrap();
    };
    let move_away: fn(&Path, &str) = |path, text| {
        fs::rename(path, path.with_extension("bak")).unwrap();
        fs::write(path, text).unwrap();
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    fs::write(&path, text(1)).unwrap();
    let (app, _reload) = followed(&path);
    let ways = [write, replace, in_pieces, delete_and_create, move_away];
    for (way, beat) in ways.iter().cycle().zip(2..12) {
        way(&path, &text(beat));
        soon("the new config", || heartbeat(&app) == u64::from(beat));
    }
}

#[cfg(unix)]
#[test]
fn kubernetes_swaps_a_link_two_folders_away() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let mount = folder.path();
    let publish = |beat: u32| {
        let data = mount.join(format!("..2026_{beat}"));
        fs::create_dir(&data).unwrap();
        fs::write(data.join("config.toml"), text(beat)).unwrap();
        symlink(data.file_name().unwrap(), mount.join("..data_tmp")).unwrap();
        fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
    };
    publish(1);
    let path = mount.join("config.toml");
    symlink("..data/config.toml", &path).unwrap();
    let (app, _reload) = followed(&path);
    for beat in 2..6 {
        publish(beat);
        soon("the new config", || heartbeat(&app) == u64::from(beat));
        fs::remove_dir_all(mount.join(format!("..2026_{}", beat - 1))).unwrap();
    }
    // A file behind a link is followed where it is, too.
    fs::write(mount.join("..2026_5/config.toml"), text(7)).unwrap();
    soon("the new config", || heartbeat(&app) == 7);
}

#[cfg(unix)]
#[test]
fn a_link_to_elsewhere_is_followed() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for (name, beat) in [("one", 1), ("two", 2)] {
        fs::create_dir(at(name)).unwrap();
        fs::write(at(name).join("config.toml"), text(beat)).unwrap();
    }
    // The folder is a link here, not the file.
    symlink("one", at("current")).unwrap();
    let (app, _reload) = followed(&at("current").join("config.toml"));
    fs::write(at("one").join("config.toml"), text(3)).unwrap();
    soon("a change behind the link", || heartbeat(&app) == 3);
    symlink("two", at("next")).unwrap();
    fs::rename(at("next"), at("current")).unwrap();
    soon("a change of the link", || heartbeat(&app) == 2);
}

#[cfg(unix)]
#[test]
fn what_no_folder_reports_is_seen_all_the_same() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let outer = folder.path().join("outer");
    let path = outer.join("etc/config.toml");
    let create = |beat| {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text(beat)).unwrap();
    };
    create(1);
    let (app, _reload) = followed(&path);
    soon("the first look", || app.engine().config().path.is_some());
    // A single file that is mounted into a container is written under another name, a network share
    // by another machine.
    let other_name = elsewhere.path().join("config.toml");
    fs::hard_link(&path, &other_name).unwrap();
    pause(100);
    fs::write(&other_name, text(2)).unwrap();
    soon("a change under another name", || {
        // The folder is never quiet.
        fs::write(path.with_extension("log"), "").unwrap();
        heartbeat(&app) == 2
    });
    // The folder stays what it is, below another name.
    fs::rename(&outer, folder.path().join("old")).unwrap();
    create(3);
    soon("the file in a new tree", || heartbeat(&app) == 3);
    fs::write(&path, text(4)).unwrap();
    soon("its next change", || heartbeat(&app) == 4);
}

#[test]
fn a_key_file_is_followed_that_came_with_the_same_key() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (path, key) = (folder.path().join("config.toml"), elsewhere.path().join("key"));
    fs::write(&path, text(1)).unwrap();
    fs::write(&key, "SECRET\n").unwrap();
    let (app, _reload) = followed(&path);
    replace(&path, &text(1).replace("\"SECRET\"", &format!("\"file:{}\"", key.display())));
    pause(200);
    replace(&key, "second\n");
    soon("the new key", || {
        app.engine().config().models["a"].endpoints[0].api_key.expose() == "second"
    });
}

#[test]
fn files_that_the_config_names_are_followed_where_they_are() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (plan, key) = (elsewhere.path().join("plan.json"), elsewhere.path().join("key"));
    fs::write(&plan, r#"{ "workers": ["a"], "selector": "a" }"#).unwrap();
    fs::write(&key, "first\n").unwrap();
    let config = format!(
        "[[model]]\nname = \"a\"\napi_base = \"http://127.0.0.1:9/v1\"\napi_key = \"file:{}\"\n\
         [workflow-integration]\njson_file = \"{}\"\n",
        key.display(),
        plan.display()
    );
    let path = folder.path().join("config.toml");
    fs::write(&path, config).unwrap();
    let (app, _reload) = followed(&path);
    replace(&key, "second\n");
    soon("the new key", || {
        app.engine().config().models["a"].endpoints[0].api_key.expose() == "second"
    });
    replace(&plan, r#"{ "workers": ["a"], "synthesizer": "a" }"#);
    soon("the new plan", || app.engine().config().workflow.plan.synthesizer.is_some());
}

#[test]
fn what_does_not_concern_the_config_does_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    fs::write(&path, text(1)).unwrap();
    let (app, _reload) = followed(&path);
    let before = app.engine();
    for round in 0..5 {
        fs::write(folder.path().join("other.log"), text(2)).unwrap();
        fs::write(&path, format!("{}# {round}\n", text(1))).unwrap();
        drop(fs::read(&path).unwrap());
        pause(60);
    }
    assert!(Arc::ptr_eq(&before, &app.engine()));
    fs::write(&path, text(2)).unwrap();
    soon("a real change", || heartbeat(&app) == 2);
}

#[test]
fn bad_files_are_passed_over_and_the_next_good_one_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    fs::write(&path, text(1)).unwrap();
    let (app, _reload) = followed(&path);
    for (round, bad) in [&b"[server"[..], b"\xff\xfe", b""].into_iter().enumerate() {
        let before = app.engine();
        fs::write(&path, bad).unwrap();
        pause(100);
        assert!(Arc::ptr_eq(&before, &app.engine()), "{round}");
        let beat = u32::try_from(round).unwrap() + 2;
        replace(&path, &text(beat));
        soon("the good config", || heartbeat(&app) == u64::from(beat));
    }
    // Missing for longer than a moment.
    fs::remove_file(&path).unwrap();
    pause(600);
    assert_eq!(heartbeat(&app), 4);
    fs::write(&path, text(9)).unwrap();
    soon("the file that is back", || heartbeat(&app) == 9);
}

#[test]
fn a_folder_that_comes_back_is_followed_again() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("etc");
    let path = inner.join("config.toml");
    fs::create_dir(&inner).unwrap();
    fs::write(&path, text(1)).unwrap();
    let (app, _reload) = followed(&path);
    // The second time it is away for so long that there is nothing to watch.
    for (beat, away) in [(2, 50), (4, 900)] {
        fs::remove_dir_all(&inner).unwrap();
        pause(away);
        fs::create_dir(&inner).unwrap();
        fs::write(&path, text(beat)).unwrap();
        soon("the file in the new folder", || heartbeat(&app) == u64::from(beat));
        fs::write(&path, text(beat + 1)).unwrap();
        soon("its next change", || heartbeat(&app) == u64::from(beat + 1));
    }
}

#[test]
fn a_file_that_is_written_all_the_time_is_loaded_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    fs::write(&path, text(1)).unwrap();
    let (app, _reload) = followed(&path);
    // Never quiet for long enough; it ends when the file was loaded in spite of that.
    soon("a load in between", || {
        replace(&path, &text(2));
        heartbeat(&app) == 2
    });
}

#[test]
fn it_ends_with_its_handle() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    fs::write(&path, text(1)).unwrap();
    let (app, reload) = followed(&path);
    let engine = Arc::downgrade(&app.engine());
    drop(app);
    pause(50);
    assert!(engine.upgrade().is_some(), "the thread has it");
    drop(reload);
    soon("the end of the thread", || engine.upgrade().is_none());
}

/// Nobody is to unlock a password manager twice for one start.
#[cfg(unix)]
#[test]
fn programs_are_asked_once_for_the_start_and_once_for_each_request() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    let command = "cmd:sh -c 'echo run >>runs; echo key'";
    fs::write(&path, text(1).replace("SECRET", command)).unwrap();
    let seen = Some(Seen::now(&path));
    let app = app(&path);
    let reload = Reload::start(Source { seen, ..source(&path) }, app.clone(), PACE).unwrap();
    let before = app.engine();
    reload.now();
    soon("the reload", || !Arc::ptr_eq(&before, &app.engine()));
    let runs = fs::read_to_string(folder.path().join("runs")).unwrap();
    assert_eq!(runs.lines().count(), 2);
}

#[cfg(unix)]
#[test]
fn a_program_that_gives_no_key_any_more_changes_nothing_and_is_left_in_peace() {
    let folder = tempfile::tempdir().unwrap();
    let (path, key) = (folder.path().join("config.toml"), folder.path().join("key"));
    fs::write(&path, text(1).replace("SECRET", "cmd:sh -c 'echo run >>runs; cat key'")).unwrap();
    fs::write(&key, "first\n").unwrap();
    let seen = Some(Seen::now(&path));
    let app = app(&path);
    let current = || app.engine().config().models["a"].endpoints[0].api_key.expose().to_owned();
    let runs = || fs::read_to_string(folder.path().join("runs")).unwrap().lines().count();
    let reload = Reload::start(Source { seen, ..source(&path) }, app.clone(), PACE).unwrap();
    fs::write(&key, "second\n").unwrap();
    reload.now();
    soon("the new key", || current() == "second");
    fs::remove_file(&key).unwrap();
    let before = runs();
    reload.now();
    soon("the refusal", || runs() > before);
    // A config that asks nobody would be tried again many times by now.
    pause(600);
    assert_eq!((runs(), current().as_str()), (before + 1, "second"));
}
