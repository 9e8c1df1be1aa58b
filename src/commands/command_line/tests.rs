//! What command lines mean, and what is said of those that are none.

use super::*;

fn settled(line: &str) -> Result<(Option<PathBuf>, Command), clap::Error> {
    Cli::try_parse_from(line.split(' '))?.settled()
}

#[test]
fn the_command_line_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn flags_stand_before_or_after_the_command() {
    for line in [
        "chorus --port 1 --host ::1 --config a.toml serve",
        "chorus serve --port 1 --host ::1 --config a.toml",
        "chorus --port 2 --host ::1 --config a.toml serve --port 1",
        "chorus --port 1 --host ::1 --config a.toml",
    ] {
        let (config, command) = settled(line).unwrap();
        let Command::Serve(Serving { address, .. }) = command else { panic!("{command:?}") };
        assert_eq!((address.port, address.host.as_deref()), (Some(1), Some("::1")), "{line}");
        assert_eq!(config, Some(PathBuf::from("a.toml")), "{line}");
    }
    let (_, command) = settled("chorus --host ::1 check --port 1").unwrap();
    let Command::Check { address, .. } = command else { panic!("{command:?}") };
    assert_eq!((address.port, address.host.as_deref()), (Some(1), Some("::1")));
}

#[test]
fn a_file_in_the_place_of_a_command_gets_a_tip() {
    let shown = |line: &str| {
        let parsed = Cli::try_parse_from(line.split(' '));
        with_tip(parsed.unwrap_err()).to_string()
    };
    for (line, tip) in [
        ("chorus a.toml", Some("'--config a.toml'")),
        ("chorus check b.toml", Some("'--config b.toml'")),
        ("chorus Cargo.lock", Some("'--config Cargo.lock'")),
        ("chorus serv", None),
        ("chorus --x.toml", None),
    ] {
        let shown = shown(line);
        assert_eq!(shown.contains("names the config file"), tip.is_some(), "{shown}");
        assert!(shown.contains(tip.unwrap_or_default()), "{shown}");
    }
}

#[test]
fn help_offers_a_config_where_one_is_read() {
    for (line, want) in [
        ("chorus --help", true),
        ("chorus serve --help", true),
        ("chorus check --help", true),
        ("chorus demo --help", false),
        ("chorus config schema --help", false),
    ] {
        let help = Cli::try_parse_from(line.split(' ')).unwrap_err().to_string();
        assert_eq!(help.contains("--config <FILE>"), want, "{line}: {help}");
    }
}

#[test]
fn what_is_not_offered_is_a_usage_error() {
    for (line, kind, code) in [
        ("chorus initialise", ErrorKind::InvalidSubcommand, 2),
        ("chorus --port many", ErrorKind::ValueValidation, 2),
        ("chorus --colour", ErrorKind::UnknownArgument, 2),
        ("chorus --log-format yaml", ErrorKind::InvalidValue, 2),
        ("chorus check --quiet", ErrorKind::UnknownArgument, 2),
        ("chorus --quiet check", ErrorKind::ArgumentConflict, 2),
        ("chorus --log-format json init", ErrorKind::ArgumentConflict, 2),
        ("chorus migrate --host ::1", ErrorKind::UnknownArgument, 2),
        ("chorus --host ::1 migrate", ErrorKind::ArgumentConflict, 2),
        ("chorus --port 1 config schema", ErrorKind::ArgumentConflict, 2),
        ("chorus demo --config a.toml", ErrorKind::ArgumentConflict, 2),
        ("chorus --config a.toml demo", ErrorKind::ArgumentConflict, 2),
        ("chorus config schema --config a.toml", ErrorKind::ArgumentConflict, 2),
        ("chorus -V", ErrorKind::DisplayVersion, 0),
        ("chorus --help", ErrorKind::DisplayHelp, 0),
    ] {
        let error = settled(line).unwrap_err();
        assert_eq!((error.kind(), error.exit_code()), (kind, code), "{line}");
    }
}
