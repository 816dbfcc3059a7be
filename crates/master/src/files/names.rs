//! Names of files as people gave them: only ever shown, never used as paths.

/// Longest name that is kept, in bytes.
const NAME_MAX_BYTES: usize = 255;
/// Longest extension that is believed to be one.
const EXTENSION_MAX_BYTES: usize = 16;
/// What stands in the package for a file without an extension.
const NO_EXTENSION: &str = "bin";

/// The last part of what a client called its file, without what no name can hold.
pub(crate) fn clean_name(given: &str) -> String {
    let last = given.rsplit(['/', '\\']).next().unwrap_or_default();
    let name: String = last.chars().filter(|character| !character.is_control()).collect();
    let name = name.trim();
    if matches!(name, "" | "." | "..") {
        return "未命名".to_owned();
    }
    if name.len() <= NAME_MAX_BYTES {
        return name.to_owned();
    }
    let (stem, extension) = split(name).unwrap_or((name, ""));
    let room = NAME_MAX_BYTES - extension.len() - 1;
    let stem = &stem[..stem.floor_char_boundary(room)];
    if extension.is_empty() { stem.to_owned() } else { format!("{stem}.{extension}") }
}

/// The extension in lower case, for the entry in the package.
pub(crate) fn extension(name: &str) -> String {
    split(name).map_or_else(|| NO_EXTENSION.to_owned(), |(_, extension)| extension.to_ascii_lowercase())
}

fn split(name: &str) -> Option<(&str, &str)> {
    let (stem, extension) = name.rsplit_once('.')?;
    let fits = (1..=EXTENSION_MAX_BYTES).contains(&extension.len());
    (!stem.is_empty() && fits && extension.bytes().all(|byte| byte.is_ascii_alphanumeric()))
        .then_some((stem, extension))
}

/// The name to show for an attached file: the one asked for, with the extension of the file if it was left out.
pub(crate) fn shown_name(asked: Option<&str>, original: &str, extension: &str) -> String {
    let Some(asked) = asked.filter(|asked| !asked.trim().is_empty()) else { return original.to_owned() };
    let asked = clean_name(asked);
    match split(original) {
        Some((_, kept)) if !split(&asked).is_some_and(|(_, given)| given.eq_ignore_ascii_case(extension)) => {
            clean_name(&format!("{asked}.{kept}"))
        }
        _ => asked,
    }
}

/// The name without `.pdf`, as tablets are told it.
pub(crate) fn without_pdf(name: &str) -> &str {
    match split(name) {
        Some((stem, extension)) if extension.eq_ignore_ascii_case("pdf") => stem,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_path_is_left_of_a_name() {
        for (given, kept) in [
            ("年度报告.pdf", "年度报告.pdf"),
            ("../../etc/passwd", "passwd"),
            ("C:\\Users\\x\\a b.PDF", "a b.PDF"),
            ("a\0\n.pdf", "a.pdf"),
            ("..", "未命名"),
            ("x/", "未命名"),
        ] {
            assert_eq!(clean_name(given), kept);
        }
        let long = clean_name(&format!("{}.pdf", "长".repeat(500)));
        assert!(long.len() <= NAME_MAX_BYTES && long.ends_with("长.pdf"), "{long}");
    }

    #[test]
    fn extensions_and_shown_names() {
        assert_eq!(extension("a.PDF"), "pdf");
        assert_eq!(extension("archive.tar.gz"), "gz");
        for none in ["a", ".pdf", "a.", "a.文档", "a.b c"] {
            assert_eq!(extension(none), "bin", "{none}");
        }
        assert_eq!(shown_name(None, "a.pdf", "pdf"), "a.pdf");
        assert_eq!(shown_name(Some("改名"), "a.pdf", "pdf"), "改名.pdf");
        assert_eq!(shown_name(Some("b.PDF"), "a.pdf", "pdf"), "b.PDF");
        assert_eq!(shown_name(Some("v1.2"), "a.pdf", "pdf"), "v1.2.pdf");
        assert_eq!(shown_name(Some("b"), "a", "bin"), "b");
        assert_eq!(without_pdf("年度.PDF"), "年度");
        assert_eq!(without_pdf("a.docx"), "a.docx");
    }
}
