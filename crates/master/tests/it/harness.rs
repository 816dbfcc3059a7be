//! A master in this process, on a port of its own, with its data in a temporary folder.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use posthouse_master::{Launch, MasterConfig, run};
use posthouse_runtime::http::bind;
use posthouse_runtime::paths::{DataDir, Role};
use posthouse_runtime::running_file::RunningGuard;
use reqwest::multipart::{Form, Part};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const PASSWORD: &str = "ein-posthaus";
const PATIENCE: Duration = Duration::from_secs(20);

/// A running master, its administrator signed in.
pub(crate) struct Running {
    pub(crate) base: String,
    pub(crate) http: reqwest::Client,
    pub(crate) stop: CancellationToken,
    pub(crate) token: String,
    pub(crate) ended: JoinHandle<anyhow::Result<()>>,
    folder: TempDir,
}

impl Running {
    pub(crate) async fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap()).await
    }

    pub(crate) async fn start_in(folder: TempDir) -> Self {
        Self::start_with(folder, PASSWORD).await
    }

    /// `password`: the administrator's, which at the first start it gets.
    pub(crate) async fn start_with(folder: TempDir, password: &str) -> Self {
        Self::start_configured(folder, password, |_| {}).await
    }

    pub(crate) async fn start_configured(
        folder: TempDir,
        password: &str,
        configure: impl FnOnce(&mut MasterConfig),
    ) -> Self {
        let data = DataDir::open(Some(folder.path()), Role::Master).unwrap();
        let guard = RunningGuard::take(&data).unwrap();
        let mut config = MasterConfig::defaults(&data).unwrap();
        config.meetings.settle = Duration::ZERO;
        configure(&mut config);
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        let admin_password = Some(password.to_owned());
        let launch = Launch {
            config,
            data,
            guard,
            admin_password,
            on_first_password: Box::new(|_| {}),
            on_running: Box::new(|_| {}),
        };
        let ended = tokio::spawn(run(launch, listener, stop.clone()));
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut running = Self { base, http, stop, token: String::new(), ended, folder };
        running.token = running.sign_in(password).await.unwrap();
        running
    }

    /// A token, or the status of the refusal. Waits while the master is starting.
    pub(crate) async fn sign_in(&self, password: &str) -> Result<String, StatusCode> {
        let form = [("username", "admin"), ("password", password)];
        let answer = eventually("the master has started", || async {
            let answer = self.http.post(self.url("/api/v1/users/token")).form(&form).send().await.ok()?;
            (answer.status() != StatusCode::SERVICE_UNAVAILABLE).then_some(answer)
        })
        .await;
        match answer.status() {
            StatusCode::OK => Ok(answer.json::<Value>().await.unwrap()["access_token"].as_str().unwrap().to_owned()),
            other => Err(other),
        }
    }

    /// Stops it and gives its folder back.
    pub(crate) async fn end(self) -> TempDir {
        self.stop.cancel();
        tokio::time::timeout(Duration::from_secs(10), self.ended).await.unwrap().unwrap().unwrap();
        self.folder
    }

    pub(crate) fn data(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// A request of the administrator.
    pub(crate) fn admin(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, self.url(path)).bearer_auth(&self.token)
    }

    /// Status and JSON of an administrator's request.
    pub(crate) async fn ask(&self, method: Method, path: &str, body: &Value) -> (u16, Value) {
        answer(self.admin(method, path).json(body)).await
    }

    /// Status and JSON of a request by anybody.
    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        answer(self.http.get(self.url(path))).await
    }

    /// The objects of files just uploaded.
    pub(crate) async fn upload(&self, files: &[(&str, Vec<u8>)]) -> Value {
        let request = self.admin(Method::POST, "/api/v1/pdf/upload-temp").multipart(form(files));
        let (status, body) = answer(request).await;
        assert_eq!(status, 200, "{body}");
        body["uploaded_files"].clone()
    }

    /// Creates a meeting with one agenda item that has one small file.
    pub(crate) async fn create(&self, id: &str) -> Value {
        let files = self.upload(&[("文件.pdf", pdf(3))]).await;
        let (status, meeting) = self.ask(Method::POST, "/api/v1/meetings/", &meeting(id, &files)).await;
        assert_eq!(status, 200, "{meeting}");
        meeting
    }

    pub(crate) async fn set_status(&self, id: &str, status: &str) -> (u16, Value) {
        self.ask(Method::PUT, &format!("/api/v1/meetings/{id}/status"), &json!({ "status": status })).await
    }

    /// Waits until the change token is another than `before`.
    pub(crate) async fn new_token(&self, before: &str) -> String {
        eventually("the change token moves", || async {
            let (_, token) = self.get("/api/v1/meetings/status/token").await;
            let id = token["id"].as_str()?.to_owned();
            (id != before).then_some(id)
        })
        .await
    }

    /// All files below a folder of the data folder, with `/`.
    pub(crate) fn files_in(&self, folder: &str) -> Vec<String> {
        let root = self.data().join(folder);
        let mut found = Vec::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path: PathBuf = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let parts = path.strip_prefix(&root).unwrap().iter();
                    found.push(parts.map(|part| part.to_str().unwrap()).collect::<Vec<_>>().join("/"));
                }
            }
        }
        found.sort();
        found
    }
}

/// Status and JSON (null when it is none).
pub(crate) async fn answer(request: RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    (status, answer.json().await.unwrap_or(Value::Null))
}

/// Asks again and again until there is an answer.
pub(crate) async fn eventually<Output, Asking: Future<Output = Option<Output>>>(
    what: &str,
    ask: impl Fn() -> Asking,
) -> Output {
    let asking = async {
        loop {
            if let Some(output) = ask().await {
                return output;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("in vain: {what}"))
}

pub(crate) fn meeting(id: &str, files: &Value) -> Value {
    json!({
        "id": id, "title": "年度工作会议", "intro": "简介", "time": "2026-11-20T09:00", "status": "未开始",
        "part": [{ "title": "议程一", "position": 1, "reporter": "报告人", "duration_minutes": 10, "files": files }],
    })
}

pub(crate) fn form(files: &[(&str, Vec<u8>)]) -> Form {
    files.iter().fold(Form::new(), |form, (name, bytes)| {
        form.part("files", Part::bytes(bytes.clone()).file_name((*name).to_owned()))
    })
}

/// A small PDF of so many pages.
pub(crate) fn pdf(pages: usize) -> Vec<u8> {
    let kids: String = (0..pages).map(|page| format!("{} 0 R ", page + 3)).collect();
    let mut objects = vec![
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        format!("<< /Type /Pages /Kids [{kids}] /Count {pages} >>"),
    ];
    objects.extend((0..pages).map(|_| "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 200] >>".to_owned()));
    let mut text = "%PDF-1.4\n".to_owned();
    let mut table = String::new();
    for (number, object) in (1..).zip(&objects) {
        table += &format!("{:010} 00000 n \n", text.len());
        text += &format!("{number} 0 obj\n{object}\nendobj\n");
    }
    let (start, count) = (text.len(), objects.len() + 1);
    text += &format!("xref\n0 {count}\n0000000000 65535 f \n{table}");
    text += &format!("trailer\n<< /Size {count} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n");
    text.into_bytes()
}
