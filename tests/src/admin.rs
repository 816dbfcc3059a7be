//! The administrator of a master.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http::Method;
use posthouse_protocol::event::EventPage;
use posthouse_protocol::legacy::{MeetingView, UploadAnswer, UploadedFile};
use posthouse_protocol::node::NodeDetailView;
use posthouse_protocol::user::TokenAnswer;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use crate::answer::{Answer, client_builder};

/// Signed in as `admin`.
#[derive(Debug, Clone)]
pub struct Admin {
    http: reqwest::Client,
    base: String,
    token: String,
}

/// A meeting to create: an agenda item for each inner list of files.
#[derive(Debug, Clone)]
pub struct NewMeeting {
    /// Id.
    pub id: String,
    /// Title.
    pub title: String,
    /// Title and files of each agenda item.
    pub agenda: Vec<(String, Vec<UploadedFile>)>,
}

impl Admin {
    /// Signs in at `base`, such as `http://127.0.0.1:8000`.
    ///
    /// # Errors
    /// When the password is refused.
    pub async fn sign_in(base: &str, password: &str) -> Result<Self> {
        // Building a large package takes its time, and the answer comes after it.
        let http = client_builder().timeout(Duration::from_secs(600)).build()?;
        let answer = Answer::to(sign_in_request(&http, base, "admin", password)).await?.expect(200)?;
        let token: TokenAnswer = answer.json()?;
        ensure!(token.token_type == "bearer", "token_type is {}", token.token_type);
        Ok(Self { http, base: base.to_owned(), token: token.access_token })
    }

    /// The same administrator at another address of the master.
    #[must_use]
    pub fn at(&self, base: &str) -> Self {
        Self { base: base.to_owned(), ..self.clone() }
    }

    /// The bearer token.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// A request to `path`, with the token.
    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base)).bearer_auth(&self.token)
    }

    /// `GET`.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn get(&self, path: &str) -> Result<Answer> {
        Answer::to(self.request(Method::GET, path)).await
    }

    /// Any method with a JSON body.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn send(&self, method: Method, path: &str, body: &Value) -> Result<Answer> {
        Answer::to(self.request(method, path).json(body)).await
    }

    /// Uploads files by `upload-temp`, in one request.
    ///
    /// # Errors
    /// When they are not taken.
    pub async fn upload(&self, files: Vec<(String, Vec<u8>)>) -> Result<Vec<UploadedFile>> {
        let count = files.len();
        let mut form = Form::new();
        for (name, bytes) in files {
            form = form.part("files", Part::bytes(bytes).file_name(name));
        }
        let request = self.request(Method::POST, "/api/v1/pdf/upload-temp").multipart(form);
        let answer: UploadAnswer = Answer::to(request).await?.expect(200)?.json()?;
        ensure!(answer.status == "success" && answer.uploaded_files.len() == count, "{answer:?}");
        Ok(answer.uploaded_files)
    }

    /// Uploads one file from disk without holding it in memory.
    ///
    /// # Errors
    /// When it cannot be read or is not taken.
    pub async fn upload_from(&self, path: &Path) -> Result<UploadedFile> {
        let name = path.file_name().context("a file name")?.to_string_lossy().into_owned();
        let file = tokio::fs::File::open(path).await.with_context(|| path.display().to_string())?;
        let length = file.metadata().await?.len();
        let stream = tokio_util::io::ReaderStream::with_capacity(file, 1 << 20);
        let part = Part::stream_with_length(reqwest::Body::wrap_stream(stream), length).file_name(name);
        let request = self.request(Method::POST, "/api/v1/pdf/upload-temp").multipart(Form::new().part("files", part));
        let answer: UploadAnswer = Answer::to(request).await?.expect(200)?.json()?;
        answer.uploaded_files.into_iter().next().context("no uploaded file in the answer")
    }

    /// Creates a meeting.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn create(&self, meeting: &NewMeeting) -> Result<MeetingView> {
        self.send(Method::POST, "/api/v1/meetings/", &meeting.to_json()).await?.expect(200)?.json()
    }

    /// Creates a meeting with one agenda item that has these files.
    ///
    /// # Errors
    /// When an upload or the meeting is refused.
    pub async fn create_with(&self, id: &str, files: Vec<(String, Vec<u8>)>) -> Result<MeetingView> {
        let files = self.upload(files).await?;
        self.create(&NewMeeting {
            id: id.to_owned(),
            title: format!("会议 {id}"),
            agenda: vec![("议程一".into(), files)],
        })
        .await
    }

    /// Moves a meeting to another state.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn set_status(&self, id: &str, status: &str) -> Result<Answer> {
        self.send(Method::PUT, &format!("/api/v1/meetings/{id}/status"), &json!({ "status": status })).await
    }

    /// Starts a meeting; returns when its package is built.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn start(&self, id: &str) -> Result<()> {
        self.set_status(id, "进行中").await?.expect(200).map(drop)
    }

    /// Ends a meeting.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn end(&self, id: &str) -> Result<()> {
        self.set_status(id, "已结束").await?.expect(200).map(drop)
    }

    /// Adds a file to an agenda item.
    ///
    /// # Errors
    /// When it is not taken.
    pub async fn add_file(&self, id: &str, position: u32, name: &str, bytes: Vec<u8>) -> Result<UploadedFile> {
        let form = Form::new().part("files", Part::bytes(bytes).file_name(name.to_owned()));
        let path = format!("/api/v1/meetings/{id}/upload?position={position}");
        let answer: UploadAnswer =
            Answer::to(self.request(Method::POST, &path).multipart(form)).await?.expect(200)?.json()?;
        answer.uploaded_files.into_iter().next().context("no uploaded file in the answer")
    }

    /// All nodes, also those that are away.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn nodes(&self) -> Result<Vec<NodeDetailView>> {
        self.get("/api/v1/nodes").await?.expect(200)?.json()
    }

    /// One node.
    ///
    /// # Errors
    /// When it is unknown.
    pub async fn node(&self, id: &str) -> Result<NodeDetailView> {
        self.get(&format!("/api/v1/nodes/{id}")).await?.expect(200)?.json()
    }

    /// Changes a node.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn patch_node(&self, id: &str, patch: &Value) -> Result<()> {
        self.send(Method::PATCH, &format!("/api/v1/nodes/{id}"), patch).await?.expect(200).map(drop)
    }

    /// Events with a larger id than `after`, up to a thousand.
    ///
    /// # Errors
    /// When no answer comes.
    pub async fn events(&self, after: u64) -> Result<EventPage> {
        self.get(&format!("/api/v1/events?after={after}&limit=1000")).await?.expect(200)?.json()
    }
}

impl NewMeeting {
    /// The body of `POST /api/v1/meetings/`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let part: Vec<Value> = (1..)
            .zip(&self.agenda)
            .map(|(position, (title, files))| json!({ "title": title, "position": position, "files": files }))
            .collect();
        json!({
            "id": self.id, "title": self.title, "intro": "简介", "time": "2026-11-20T09:00", "status": "未开始", "part": part,
        })
    }
}

/// The request that signs in, for tests of signing in.
pub fn sign_in_request(http: &reqwest::Client, base: &str, user_name: &str, password: &str) -> reqwest::RequestBuilder {
    http.post(format!("{base}/api/v1/users/token")).form(&[("username", user_name), ("password", password)])
}
