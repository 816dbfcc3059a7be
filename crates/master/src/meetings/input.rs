//! What an administrator asks for, checked: from here on every value is one that can be stored.

use std::collections::HashSet;

use posthouse_protocol::MeetingId;
use posthouse_protocol::legacy::{AgendaItemInput, FileInput, MeetingInput};
use posthouse_protocol::meeting::MeetingStatus;

use super::Refusal;

/// Longest title or name, in characters.
const SHORT_MAX: usize = 500;
/// Longest introduction, in characters.
const LONG_MAX: usize = 20_000;
/// Most agenda items of a meeting, and the greatest position of one.
const ITEMS_MAX: i64 = 10_000;

/// A meeting to create.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NewMeeting {
    pub(crate) id: MeetingId,
    pub(crate) title: String,
    pub(crate) intro: Option<String>,
    pub(crate) time: String,
    /// In progress means: create and start.
    pub(crate) status: MeetingStatus,
    /// Never empty.
    pub(crate) agenda: Vec<ItemInput>,
}

/// What is to change in a meeting; `None` stays as it is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct MeetingChange {
    pub(crate) title: Option<String>,
    pub(crate) intro: Option<String>,
    pub(crate) time: Option<String>,
    pub(crate) status: Option<MeetingStatus>,
    pub(crate) agenda: Option<Vec<ItemInput>>,
}

/// An agenda item to store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ItemInput {
    pub(crate) position: i64,
    pub(crate) title: String,
    pub(crate) reporter: Option<String>,
    pub(crate) duration_minutes: Option<i64>,
    /// `None`: those that the item at this position has.
    pub(crate) files: Option<Vec<FileChoice>>,
}

/// A file that was uploaded before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileChoice {
    pub(crate) file_id: String,
    /// A new name to show.
    pub(crate) name: Option<String>,
}

impl NewMeeting {
    /// Checks the body of a `POST`.
    pub(crate) fn check(input: MeetingInput) -> Result<Self, Refusal> {
        let id = input.id.filter(|id| !id.is_empty()).ok_or(Refusal::MissingField("id"))?;
        let agenda = items(input.part.unwrap_or_default())?;
        if agenda.is_empty() {
            return Err(Refusal::NoAgenda);
        }
        Ok(Self {
            id: id.parse()?,
            title: title("title", input.title.as_deref().unwrap_or_default())?,
            intro: input.intro.map(|intro| long("intro", intro)).transpose()?,
            time: time(input.time.as_deref().unwrap_or_default())?,
            status: input.status.as_deref().map(status).transpose()?.unwrap_or(MeetingStatus::NotStarted),
            agenda,
        })
    }
}

impl MeetingChange {
    /// Checks the body of a `PUT` to the meeting `id`.
    pub(crate) fn check(id: &MeetingId, input: MeetingInput) -> Result<Self, Refusal> {
        if input.id.is_some_and(|given| !given.eq_ignore_ascii_case(id.as_str())) {
            return Err(Refusal::BadField { field: "id", problem: "会议ID不能修改" });
        }
        Ok(Self {
            title: input.title.as_deref().map(|text| title("title", text)).transpose()?,
            intro: input.intro.map(|intro| long("intro", intro)).transpose()?,
            time: input.time.as_deref().map(time).transpose()?,
            status: input.status.as_deref().map(status).transpose()?,
            agenda: input.part.map(items).transpose()?,
        })
    }
}

/// A status by its wire text.
pub(crate) fn status(text: &str) -> Result<MeetingStatus, Refusal> {
    text.parse().map_err(|_| Refusal::BadField {
        field: "status", problem: "会议状态必须是 未开始、进行中 或 已结束"
    })
}

fn items(inputs: Vec<AgendaItemInput>) -> Result<Vec<ItemInput>, Refusal> {
    let mut positions = HashSet::new();
    (1..).zip(inputs).map(|(place, input)| item(place, input, &mut positions)).collect()
}

fn item(place: i64, input: AgendaItemInput, positions: &mut HashSet<i64>) -> Result<ItemInput, Refusal> {
    let position = input.position.unwrap_or(place);
    if !(1..=ITEMS_MAX).contains(&position) || place > ITEMS_MAX {
        return Err(Refusal::BadField { field: "part.position", problem: "议程项位置必须在1到10000之间" });
    }
    if !positions.insert(position) {
        return Err(Refusal::DuplicatePosition(position));
    }
    if input.duration_minutes.is_some_and(|minutes| !(0..=100_000).contains(&minutes)) {
        return Err(Refusal::BadField {
            field: "part.duration_minutes", problem: "时长必须在0到100000分钟之间"
        });
    }
    let reporter = input.reporter.map(|reporter| long("part.reporter", reporter)).transpose()?;
    Ok(ItemInput {
        position,
        title: title("part.title", &input.title)?,
        reporter: reporter.filter(|reporter| !reporter.is_empty()),
        duration_minutes: input.duration_minutes,
        files: input.files.map(|files| files.into_iter().map(choice).collect()).transpose()?,
    })
}

fn choice(input: FileInput) -> Result<FileChoice, Refusal> {
    let file_id = input.temp_id.filter(|id| !id.is_empty()).ok_or(Refusal::MissingField("files.temp_id"))?;
    // Shown back in the refusal when it is unknown.
    if file_id.len() > 64 || file_id.chars().any(char::is_control) {
        return Err(Refusal::BadField { field: "files.temp_id", problem: "不是上传时返回的 temp_id" });
    }
    Ok(FileChoice { file_id, name: input.display_name.or(input.name) })
}

fn title(field: &'static str, text: &str) -> Result<String, Refusal> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Refusal::MissingField(field));
    }
    if text.chars().count() > SHORT_MAX || text.chars().any(char::is_control) {
        return Err(Refusal::BadField { field, problem: "最多500个字符，且不能包含换行等控制字符" });
    }
    Ok(text.to_owned())
}

fn long(field: &'static str, text: String) -> Result<String, Refusal> {
    if text.chars().count() > LONG_MAX || text.contains('\0') {
        return Err(Refusal::BadField { field, problem: "最多20000个字符" });
    }
    Ok(text)
}

/// `2026-11-20T09:00`, with a space for `T`, without the time of day, or with seconds and zone.
fn time(text: &str) -> Result<String, Refusal> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Refusal::MissingField("time"));
    }
    let mut bytes = text.bytes();
    let is_date = [4, 2, 2].iter().enumerate().all(|(part, digits)| {
        (part == 0 || bytes.next() == Some(b'-'))
            && bytes.by_ref().take(*digits).filter(u8::is_ascii_digit).count() == *digits
    });
    let rest: Vec<u8> = bytes.collect();
    let is_time = rest.first().is_none_or(|first| matches!(first, b'T' | b' '))
        && rest.iter().skip(1).all(|byte| byte.is_ascii_digit() || matches!(byte, b':' | b'.' | b'+' | b'-' | b'Z'));
    if !is_date || !is_time || rest.len() > 30 || rest.len() == 1 {
        return Err(Refusal::BadField { field: "time", problem: "时间格式应为 2026-11-20T09:00" });
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<NewMeeting, Refusal> {
        NewMeeting::check(serde_json::from_str(text).unwrap())
    }

    #[test]
    fn what_cannot_be_stored_is_refused_with_the_field() {
        let good = r#"{"id":"m","title":"t","time":"2026-11-20T09:00","part":[{"title":"a"},{"title":"b"}]}"#;
        let meeting = parsed(good).unwrap();
        assert_eq!(meeting.agenda.iter().map(|item| item.position).collect::<Vec<_>>(), [1, 2]);
        for (was, is, refusal) in [
            (r#""id":"m""#, r#""id":"../m""#, Refusal::BadId(posthouse_protocol::MeetingIdError)),
            (r#""id":"m","#, "", Refusal::MissingField("id")),
            (r#""title":"t","#, "", Refusal::MissingField("title")),
            (r#","part":[{"title":"a"},{"title":"b"}]"#, "", Refusal::NoAgenda),
            (r#"{"title":"a"}"#, r#"{"title":""}"#, Refusal::MissingField("part.title")),
            (r#"{"title":"a"}"#, r#"{"title":"a","position":2}"#, Refusal::DuplicatePosition(2)),
            (r#"{"title":"a"}"#, r#"{"title":"a","files":[{"path":"/x"}]}"#, Refusal::MissingField("files.temp_id")),
        ] {
            assert_eq!(parsed(&good.replacen(was, is, 1)), Err(refusal), "{is}");
        }
    }

    #[test]
    fn times() {
        for good in [
            "2026-11-20",
            "2026-11-20T09:00",
            "2026-11-20 09:00:01",
            "2026-11-20T09:00:00.000+08:00",
            "2026-11-20T01:00Z",
        ] {
            assert!(time(good).is_ok(), "{good}");
        }
        for bad in ["x", "2026-1-2", "2026-11-20T", "2026-11-20Tx", "2026-11-20\n", "20261120", "明天"] {
            assert!(bad.ends_with('\n') || time(bad).is_err(), "{bad}");
        }
    }
}
