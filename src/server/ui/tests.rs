use std::{collections::BTreeSet, fs, path::Path};

use super::*;

#[test]
fn every_file_of_the_folder_is_served_and_they_are_small() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("ui");
    let there: BTreeSet<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let served: BTreeSet<String> =
        FILES.iter().chain([&INDEX]).map(|file| file.name.to_owned()).collect();
    assert_eq!(there, served);
    // 150 KB would be allowed compressed: as they stand, they can be read.
    let size: usize = FILES.iter().chain([&INDEX]).map(|file| file.text.len()).sum();
    assert!(size <= 180_000, "{size}");
}

#[test]
fn the_page_asks_for_nothing_elsewhere_and_has_nothing_inline() {
    for file in FILES.iter().chain([&INDEX]) {
        for forbidden in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("]
        {
            assert!(!file.text.contains(forbidden), "{}: {forbidden}", file.name);
        }
        let is_asset = matches!(file.media, HTML | STYLE | ICON);
        let names = file.text.replace("http://www.w3.org/2000/svg", "");
        assert!(!is_asset || !names.contains("//"), "{} names an address", file.name);
    }
    assert!(!INDEX.text.contains("<style") && !INDEX.text.contains("style="));
    assert!(INDEX.text.split("<script").skip(1).all(|tag| tag.contains("src=\"ui/")));
}
