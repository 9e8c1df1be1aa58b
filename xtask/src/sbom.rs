//! What a release is made of, as CycloneDX 1.5: the crates that go into the binary, with their versions,
//! licences and checksums, out of `cargo metadata` and `Cargo.lock`. The tools that write one compile
//! two hundred crates themselves.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

use serde_json::{Value, json};

/// Writes the list to a file.
pub fn write(path: &Path) -> Result<(), String> {
    let lock = fs::read_to_string(super::root().join("Cargo.lock")).map_err(|it| it.to_string())?;
    let text =
        serde_json::to_string_pretty(&of(&metadata()?, &lock)?).map_err(|it| it.to_string())?;
    fs::write(path, text + "\n").map_err(|error| error.to_string())?;
    println!("wrote {}", path.display());
    Ok(())
}

fn metadata() -> Result<Value, String> {
    let mut command = Command::new("cargo");
    command.args(["metadata", "--format-version", "1", "--locked"]).current_dir(super::root());
    let output = command.output().map_err(|error| error.to_string())?;
    serde_json::from_slice(&output.stdout).map_err(|error| format!("cargo metadata: {error}"))
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}

/// The list, of what `chorus` needs to run or to be built for this machine.
fn of(metadata: &Value, lock: &str) -> Result<Value, String> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let packages: BTreeMap<String, Value> = list(&metadata["packages"])
        .into_iter()
        .map(|package| (text(&package, "id").to_owned(), package))
        .collect();
    let nodes: BTreeMap<String, Value> = list(&metadata["resolve"]["nodes"])
        .into_iter()
        .map(|node| (text(&node, "id").to_owned(), node))
        .collect();
    let root = packages.iter().find(|(_, package)| text(package, "name") == "chorus");
    let (root, chorus) = root.ok_or("cargo metadata knows no chorus")?;
    let is_shipped = |dependency: &Value| {
        list(&dependency["dep_kinds"]).iter().any(|kind| text(kind, "kind") != "dev")
    };
    let needs = |id: &str| -> Vec<String> {
        let all = nodes.get(id).map(|node| list(&node["deps"])).unwrap_or_default();
        all.iter().filter(|it| is_shipped(it)).map(|it| text(it, "pkg").to_owned()).collect()
    };
    let (mut seen, mut left) = (BTreeSet::new(), vec![root.clone()]);
    while let Some(id) = left.pop() {
        if seen.insert(id.clone()) {
            left.extend(needs(&id));
        }
    }
    let checksums = checksums(lock);
    let parts: Vec<Value> = seen
        .iter()
        .filter(|id| *id != root)
        .filter_map(|id| packages.get(id))
        .map(|package| component(package, &checksums))
        .collect();
    let dependencies: Vec<Value> = seen
        .iter()
        .filter_map(|id| Some((packages.get(id)?, needs(id))))
        .map(|(package, needs)| {
            let needs: BTreeSet<String> =
                needs.iter().filter_map(|id| packages.get(id)).map(url).collect();
            json!({ "ref": url(package), "dependsOn": needs })
        })
        .collect();
    let mut itself = component(chorus, &checksums);
    itself["type"] = json!("application");
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": { "component": itself },
        "components": parts,
        "dependencies": dependencies,
    }))
}

fn url(package: &Value) -> String {
    format!("pkg:cargo/{}@{}", text(package, "name"), text(package, "version"))
}

fn component(package: &Value, checksums: &BTreeMap<(String, String), String>) -> Value {
    let (name, version) = (text(package, "name"), text(package, "version"));
    // An older way to write OR.
    let licence = text(package, "license").replace(" / ", " OR ").replace('/', " OR ");
    let mut component = json!({
        "type": "library",
        "bom-ref": url(package),
        "name": name,
        "version": version,
        "purl": url(package),
        "licenses": [{ "expression": licence }],
    });
    if let Some(checksum) = checksums.get(&(name.to_owned(), version.to_owned())) {
        component["hashes"] = json!([{ "alg": "SHA-256", "content": checksum }]);
    }
    component
}

/// Of every package in the lock file.
fn checksums(lock: &str) -> BTreeMap<(String, String), String> {
    let value = |entry: &str, key: &str| {
        let line = entry.lines().find_map(|line| line.strip_prefix(&format!("{key} = ")));
        line.map(|text| text.trim_matches('"').to_owned())
    };
    lock.split("[[package]]")
        .filter_map(|entry| {
            let name = (value(entry, "name")?, value(entry, "version")?);
            Some((name, value(entry, "checksum")?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_goes_into_the_binary_is_listed_and_nothing_else() {
        let package = |name: &str| json!({ "id": name, "name": name, "version": "1.0.0", "license": "MIT/Apache-2.0" });
        let needs =
            |name: &str, kind: Value| json!({ "pkg": name, "dep_kinds": [{ "kind": kind }] });
        let metadata = json!({
            "packages": (["chorus", "a", "b", "build", "dev"].map(package)),
            "resolve": { "nodes": [
                { "id": "chorus", "deps": [
                    needs("a", Value::Null), needs("build", json!("build")), needs("dev", json!("dev"))
                ] },
                { "id": "a", "deps": [needs("b", Value::Null)] },
                { "id": "b", "deps": [] },
                { "id": "build", "deps": [] },
                { "id": "dev", "deps": [] },
            ] },
        });
        let lock = "[[package]]\nname = \"b\"\nversion = \"1.0.0\"\nchecksum = \"c0ffee\"\n";
        let list = of(&metadata, lock).unwrap();
        let names: Vec<&str> =
            list["components"].as_array().unwrap().iter().map(|part| text(part, "name")).collect();
        assert_eq!(names, ["a", "b", "build"]);
        assert_eq!(list["components"][1]["hashes"][0]["content"], "c0ffee");
        assert_eq!(list["components"][0]["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert_eq!(list["metadata"]["component"]["purl"], "pkg:cargo/chorus@1.0.0");
        let own = &list["dependencies"].as_array().unwrap()[2];
        assert_eq!(
            (text(own, "ref"), own["dependsOn"].as_array().unwrap().len()),
            ("pkg:cargo/chorus@1.0.0", 2)
        );
    }
}
