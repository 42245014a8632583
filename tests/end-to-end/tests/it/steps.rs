//! The way of a sample has the same numbers in ARCHITECTURE.md and in the code.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use crate::root;

/// The steps of the section, with the folders that they name.
fn told(text: &str) -> BTreeMap<u32, BTreeSet<String>> {
    let (_, section) = text.split_once("## The way of a sample\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let mut steps: BTreeMap<u32, BTreeSet<String>> = BTreeMap::new();
    let mut step = None;
    for line in section.lines() {
        if let Some((number, _)) = line.split_once(". ")
            && let Ok(number) = number.parse()
        {
            assert!(
                steps.insert(number, BTreeSet::new()).is_none(),
                "{number} stands there twice"
            );
            step = Some(number);
        } else if !line.starts_with("   ") {
            step = None;
        }
        let folders = line
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|word| word.contains('/'));
        if let Some(step) = step {
            steps
                .get_mut(&step)
                .unwrap()
                .extend(folders.map(str::to_owned));
        }
    }
    steps
}

/// The steps that comments below a folder name.
fn named(folder: &Path, found: &mut BTreeSet<u32>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            named(&path, found);
        } else if path.extension().is_some_and(|of| of == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let comments = text
                .lines()
                .filter(|line| line.trim_start().starts_with("//"));
            for after in comments.flat_map(|line| line.split("Step ").skip(1)) {
                let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
                found.extend(digits.parse::<u32>());
            }
        }
    }
}

#[test]
fn the_steps_of_a_sample_are_the_same_in_the_code() {
    let steps = told(&fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap());
    assert_eq!(
        steps.keys().copied().collect::<Vec<_>>(),
        (1..=7).collect::<Vec<_>>()
    );
    let mut anywhere: BTreeMap<String, BTreeSet<u32>> = BTreeMap::new();
    for folder in steps.values().flatten() {
        named(
            &root().join(folder),
            anywhere.entry(folder.clone()).or_default(),
        );
    }
    for (step, folders) in &steps {
        assert!(!folders.is_empty(), "step {step} names no folder");
        for folder in folders {
            assert!(
                anywhere[folder].contains(step),
                "no comment in {folder} says Step {step}"
            );
        }
    }
    for (folder, found) in &anywhere {
        for step in found {
            assert!(
                steps
                    .get(step)
                    .is_some_and(|folders| folders.contains(folder)),
                "a comment in {folder} says Step {step}, which ARCHITECTURE.md does not place there"
            );
        }
    }
}
