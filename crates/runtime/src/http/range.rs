//! Conditional and range requests over one immutable representation (RFC 9110, sections 13 and 14): a single range,
//! `If-Range`, `If-None-Match`.

use http::{HeaderMap, header};

/// What to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// 200 with everything.
    Whole,
    /// 206 with these bytes; the end is exclusive.
    Part(u64, u64),
    /// 304.
    NotModified,
    /// 416.
    Unsatisfiable,
}

/// Decides by the request's headers. `etag` with its quotes; `last_modified` as it stands in the answer.
#[must_use]
pub fn decide(headers: &HeaderMap, length: u64, etag: &str, last_modified: &str) -> Decision {
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(none_match) = text(header::IF_NONE_MATCH) {
        if none_match.split(',').any(|tag| matches!(tag.trim(), "*") || tag.trim().trim_start_matches("W/") == etag) {
            return Decision::NotModified;
        }
    } else if text(header::IF_MODIFIED_SINCE) == Some(last_modified) {
        return Decision::NotModified;
    }
    let Some(range) = text(header::RANGE) else { return Decision::Whole };
    // A part is only useful to somebody who has the rest of this very version.
    if text(header::IF_RANGE).is_some_and(|validator| validator != etag && validator != last_modified) {
        return Decision::Whole;
    }
    parse(range, length)
}

fn parse(range: &str, length: u64) -> Decision {
    // Another unit or several ranges: the whole is always a right answer.
    let Some(spec) = range.strip_prefix("bytes=").filter(|spec| !spec.contains(',')) else { return Decision::Whole };
    let Some((first, last)) = spec.trim().split_once('-') else { return Decision::Whole };
    match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), _) if first >= length && (last.is_empty() || last.parse::<u64>().is_ok()) => {
            Decision::Unsatisfiable
        }
        (Ok(first), Ok(last)) if last >= first => Decision::Part(first, last.saturating_add(1).min(length)),
        (Ok(first), Err(_)) if last.is_empty() => Decision::Part(first, length),
        (Err(_), Ok(0)) if first.is_empty() => Decision::Unsatisfiable,
        (Err(_), Ok(suffix)) if first.is_empty() && length > 0 => Decision::Part(length.saturating_sub(suffix), length),
        _ => Decision::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(pairs: &[(&'static str, &'static str)]) -> Decision {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, value.parse().unwrap());
        }
        decide(&headers, 100, "\"abc\"", "Fri, 20 Nov 2026 20:29:22 GMT")
    }

    #[test]
    fn ranges() {
        assert_eq!(decided(&[]), Decision::Whole);
        assert_eq!(decided(&[("range", "bytes=0-9")]), Decision::Part(0, 10));
        assert_eq!(decided(&[("range", "bytes=90-")]), Decision::Part(90, 100));
        assert_eq!(decided(&[("range", "bytes=-10")]), Decision::Part(90, 100));
        assert_eq!(decided(&[("range", "bytes=-1000")]), Decision::Part(0, 100));
        assert_eq!(decided(&[("range", "bytes=50-1000")]), Decision::Part(50, 100));
        assert_eq!(decided(&[("range", "bytes=100-")]), Decision::Unsatisfiable);
        assert_eq!(decided(&[("range", "bytes=-0")]), Decision::Unsatisfiable);
        for ignored in ["bytes=9-0", "bytes=a-b", "lines=0-1", "bytes=0-1,5-6", "bytes=", "bytes=200-a"] {
            assert_eq!(decided(&[("range", ignored)]), Decision::Whole, "{ignored}");
        }
    }

    #[test]
    fn validators() {
        assert_eq!(decided(&[("if-none-match", "\"x\", \"abc\"")]), Decision::NotModified);
        assert_eq!(decided(&[("if-none-match", "W/\"abc\"")]), Decision::NotModified);
        assert_eq!(decided(&[("if-none-match", "\"x\"")]), Decision::Whole);
        assert_eq!(decided(&[("range", "bytes=0-9"), ("if-range", "\"abc\"")]), Decision::Part(0, 10));
        assert_eq!(decided(&[("range", "bytes=0-9"), ("if-range", "\"old\"")]), Decision::Whole);
        assert_eq!(decided(&[("range", "bytes=0-9"), ("if-range", "W/\"abc\"")]), Decision::Whole);
    }
}
