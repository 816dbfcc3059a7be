//! What tablets are told: the change token, the meetings in progress, and the data of one. From the catalog, without
//! the database, but for what is not in progress.

use posthouse_protocol::MeetingId;
use posthouse_protocol::legacy::{self, MeetingData, PackageView, TokenMeeting, TokenView};
use posthouse_protocol::meeting::MeetingStatus;

use super::meeting::shown_time;
use super::views::{package_url, package_view};
use super::{Meetings, Refusal};
use crate::catalog::{ActiveMeeting, Catalog, PackageVersion};
use crate::error::Error;

impl Meetings {
    /// The change token, and the meetings it tells of: one whose nodes are still waited for is not among them.
    pub(crate) fn token(&self) -> TokenView {
        let catalog = self.0.around.catalog.borrow().clone();
        let announced = catalog.meetings.iter().filter(|meeting| meeting.announced);
        let meetings = announced.map(|meeting| TokenMeeting {
            id: meeting.id.to_string(),
            title: meeting.title.clone(),
            time: shown_time(&meeting.time),
        });
        TokenView { id: catalog.token.clone(), meetings: meetings.collect() }
    }

    /// All meetings in progress.
    pub(crate) fn in_progress(&self) -> Vec<legacy::ActiveMeeting> {
        let catalog = self.0.around.catalog.borrow().clone();
        let meeting = |meeting: &ActiveMeeting| legacy::ActiveMeeting {
            id: meeting.id.to_string(),
            title: meeting.title.clone(),
            time: shown_time(&meeting.time),
            status: MeetingStatus::InProgress.as_str().to_owned(),
            package_url: package_url(&meeting.title, &meeting.id),
        };
        catalog.meetings.iter().map(meeting).collect()
    }

    /// The data of a meeting in progress, as of the version that is served.
    pub(crate) async fn data(&self, id: &MeetingId) -> Result<MeetingData, Error> {
        let catalog = self.0.around.catalog.borrow().clone();
        let Some(meeting) = catalog.meeting(id) else { return Err(self.why_not_in_progress(id).await) };
        Ok(MeetingData {
            id: catalog.token.clone(),
            meeting_id: meeting.id.to_string(),
            title: meeting.title.clone(),
            intro: meeting.intro.clone(),
            time: shown_time(&meeting.time),
            status: MeetingStatus::InProgress.as_str().to_owned(),
            agenda_items: self.served(meeting).agenda.to_vec(),
            package_url: package_url(&meeting.title, &meeting.id),
        })
    }

    /// The files of a meeting in progress, one by one.
    pub(crate) async fn package(&self, id: &MeetingId) -> Result<PackageView, Error> {
        match self.get(id).await {
            Ok(meeting) if meeting.status == MeetingStatus::InProgress => Ok(package_view(&meeting)),
            Ok(meeting) => Err(Refusal::NotInProgress(meeting.id).into()),
            Err(Error::Refused(Refusal::Unknown)) => Err(Refusal::Missing(id.clone()).into()),
            Err(error) => Err(error),
        }
    }

    /// The version that is served of a meeting in progress.
    pub(crate) fn served<'a>(&self, meeting: &'a ActiveMeeting) -> &'a PackageVersion {
        let served = self.0.around.rotation.served_version(&meeting.id);
        served.and_then(|version| meeting.version(version)).unwrap_or_else(|| meeting.wanted())
    }

    /// Whether a version that tablets may still have the data of has this file.
    pub(crate) fn serves(&self, file_id: &str) -> bool {
        let catalog = self.0.around.catalog.borrow().clone();
        let versions = catalog.meetings.iter().flat_map(|meeting| &meeting.versions);
        let mut files = versions.flat_map(|version| version.agenda.iter()).flat_map(|item| &item.files);
        files.any(|file| file.temp_id == file_id)
    }

    /// Why the catalog does not have a meeting: to be called when it has not.
    pub(crate) async fn why_not_in_progress(&self, id: &MeetingId) -> Error {
        match self.get(id).await {
            Ok(meeting) if meeting.status == MeetingStatus::InProgress => Refusal::NoPackageYet(meeting.id).into(),
            Ok(_) => Refusal::NotInProgress(id.clone()).into(),
            Err(Error::Refused(Refusal::Unknown)) => Refusal::Missing(id.clone()).into(),
            Err(error) => error,
        }
    }
}

/// The meeting in progress that a `<title>_<id>_pdfs.zip` names. Titles and ids may hold `_` themselves, and titles
/// change, so the longest id that fits is the one that is meant.
pub(crate) fn meeting_of_package_name<'a>(catalog: &'a Catalog, name: &str) -> Option<&'a ActiveMeeting> {
    let stem = name.strip_suffix("_pdfs.zip")?;
    let names = |meeting: &&ActiveMeeting| {
        let id = meeting.id.as_str();
        let start = stem.len().checked_sub(id.len()).filter(|start| stem.is_char_boundary(*start));
        start
            .is_some_and(|start| stem[start..].eq_ignore_ascii_case(id) && (start == 0 || stem[..start].ends_with('_')))
    };
    let exact = |meeting: &&ActiveMeeting| stem == format!("{}_{}", meeting.title, meeting.id);
    let fitting = || catalog.meetings.iter().filter(names);
    fitting().find(exact).or_else(|| fitting().max_by_key(|meeting| meeting.id.as_str().len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_name_finds_its_meeting_whatever_title_and_id_hold() {
        let meeting = |id: &str, title: &str| ActiveMeeting {
            id: id.parse().unwrap(),
            title: title.to_owned(),
            time: String::new(),
            intro: None,
            announced: true,
            versions: Vec::new(),
        };
        let meetings = vec![meeting("b", "x_a"), meeting("a_b", "x"), meeting("m-1", "年/度 会议")];
        let catalog = Catalog { token: String::new(), meetings };
        let found = |name: &str| meeting_of_package_name(&catalog, name).map(|meeting| meeting.id.as_str());
        assert_eq!(found("年/度 会议_m-1_pdfs.zip"), Some("m-1"));
        assert_eq!(found("an earlier title_M-1_pdfs.zip"), Some("m-1"));
        assert_eq!(found("x_a_b_pdfs.zip"), Some("b"));
        assert_eq!(found("y_a_b_pdfs.zip"), Some("a_b"));
        for unknown in ["x_c_pdfs.zip", "xm-1_pdfs.zip", "m-1.zip", "_pdfs.zip", "议_pdfs.zip"] {
            assert_eq!(found(unknown), None, "{unknown}");
        }
    }
}
