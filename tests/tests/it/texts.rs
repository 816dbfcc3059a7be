//! What people read is there in both languages.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

const LANGUAGES: [&str; 2] = ["en", "zh-CN"];

/// Crates of the workspace with texts.
fn crates() -> Result<Vec<PathBuf>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the workspace")?.to_owned();
    let mut found = vec![root.join("src-tauri"), root.join("tests")];
    for entry in std::fs::read_dir(root.join("crates"))? {
        found.push(entry?.path());
    }
    found.retain(|folder| folder.join("locales").is_dir());
    ensure!(found.len() >= 4, "{found:?}");
    Ok(found)
}

/// Texts by key and language, of the files `locales/*.yml` in the form of rust-i18n's version 2: a key, and below it a
/// line for each language.
fn texts(folder: &Path) -> Result<BTreeMap<String, BTreeMap<String, String>>> {
    let mut texts: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for entry in std::fs::read_dir(folder.join("locales"))? {
        let path = entry?.path();
        let content = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let mut languages: Option<&mut BTreeMap<String, String>> = None;
        let mut last: Option<&str> = None;
        for line in content.lines().filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#')) {
            let indent = line.len() - line.trim_start().len();
            let (key, value) = line.trim().split_once(':').unwrap_or((line.trim(), ""));
            match (indent, &mut languages) {
                (0, _) if key == "_version" => ensure!(value.trim() == "2", "{}: {line}", path.display()),
                (0, _) => {
                    let key = key.trim_matches('"').to_owned();
                    ensure!(!texts.contains_key(&key), "{}: {key} stands there twice", path.display());
                    languages = Some(texts.entry(key).or_default());
                }
                (2, Some(languages)) => {
                    languages.insert(key.to_owned(), value.trim().to_owned());
                    last = Some(key);
                }
                // More lines of a long text.
                (_, Some(languages)) => {
                    let text = last.and_then(|last| languages.get_mut(last)).with_context(|| line.to_owned())?;
                    text.push_str(line.trim());
                }
                _ => anyhow::bail!("{}: {line}", path.display()),
            }
        }
    }
    Ok(texts)
}

/// Names in `%{name}`.
fn placeholders(text: &str) -> BTreeSet<&str> {
    text.split("%{").skip(1).filter_map(|rest| rest.split('}').next()).collect()
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            sources(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(())
}

#[test]
fn every_text_is_there_in_both_languages() -> Result<()> {
    for folder in crates()? {
        for (key, languages) in texts(&folder)? {
            let place = format!("{}: {key}", folder.display());
            for language in LANGUAGES {
                let text = languages.get(language).with_context(|| format!("{place} has no {language}"))?;
                ensure!(
                    !text.trim_matches(['"', '\'', '|', '>', '-']).trim().is_empty(),
                    "{place}: {language} is empty"
                );
            }
            ensure!(languages.len() == LANGUAGES.len(), "{place} has other languages: {:?}", languages.keys());
            let (english, chinese) = (&languages["en"], &languages["zh-CN"]);
            ensure!(placeholders(english) == placeholders(chinese), "{place}: {english} / {chinese}");
            ensure!(!english.chars().any(|sign| ('\u{4e00}'..='\u{9fff}').contains(&sign)), "{place}: {english}");
        }
    }
    Ok(())
}

#[test]
fn every_text_that_is_asked_for_is_there_and_every_text_is_asked_for() -> Result<()> {
    for folder in crates()? {
        let known = texts(&folder)?;
        let mut files = Vec::new();
        sources(&folder.join("src"), &mut files)?;
        let mut asked = BTreeSet::new();
        let mut code = String::new();
        for path in files {
            code.push_str(&std::fs::read_to_string(&path)?);
        }
        // The macro may stand in front of a line break.
        for rest in code.split("t!(").skip(1) {
            let Some(rest) = rest.trim_start().strip_prefix('"') else { continue };
            let key = rest.split('"').next().unwrap_or_default();
            // Other macros end in t, too: format!, assert!, print!.
            if key.contains(' ') || !key.contains('.') || key.contains('{') {
                continue;
            }
            asked.insert(key.to_owned());
        }
        for key in &asked {
            ensure!(known.contains_key(key), "{}: there is no text {key}", folder.display());
        }
        for key in known.keys() {
            ensure!(code.contains(&format!("\"{key}\"")), "{}: nobody asks for {key}", folder.display());
        }
    }
    Ok(())
}
