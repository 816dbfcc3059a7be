//! nginx of the distribution, with a configuration of its own on a free port.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;
use tokio::net::TcpStream;

use posthouse_tests::usage;

/// A running nginx.
pub(crate) struct Nginx {
    child: Child,
    address: String,
    folder: TempDir,
}

impl Nginx {
    /// Serves the files below `root` by sendfile.
    pub(crate) async fn files(root: &Path) -> Result<Self> {
        Self::start(&format!("root {};", root.display())).await
    }

    /// Answers everything with a redirect to `location`.
    pub(crate) async fn redirects(location: &str) -> Result<Self> {
        Self::start(&format!("location / {{ add_header Cache-Control no-store; return 302 \"{location}\"; }}")).await
    }

    async fn start(server: &str) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("posthouse-nginx-").tempdir()?;
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let address = format!("127.0.0.1:{port}");
        let path = folder.path().join("nginx.conf");
        std::fs::write(&path, configuration(folder.path(), &address, server))?;
        let child = Command::new("nginx")
            .arg("-p")
            .arg(folder.path())
            .arg("-c")
            .arg(&path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("starting nginx")?;
        let nginx = Self { child, address, folder };
        for _ in 0..500 {
            if TcpStream::connect(&nginx.address).await.is_ok() {
                return Ok(nginx);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        bail!("nginx does not listen: {}", nginx.log())
    }

    /// URL of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The master process and its workers.
    pub(crate) fn pids(&self) -> Result<Vec<u32>> {
        usage::family(self.child.id())
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("error.log")).unwrap_or_default()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its workers end with it only when it is asked, not when it is killed.
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        drop(self.child.wait());
    }
}

fn configuration(folder: &Path, address: &str, server: &str) -> String {
    let folder = folder.display();
    let mut text = String::from("daemon off;\nworker_processes auto;\nworker_rlimit_nofile 8192;\n");
    if geteuid().is_root() {
        // The packages are for their owner alone.
        text.push_str("user root;\n");
    }
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        "pid {folder}/nginx.pid;\nerror_log {folder}/error.log;\nevents {{ worker_connections 4096; }}\nhttp {{\n  \
         access_log off; sendfile on; keepalive_requests 1000000000; keepalive_timeout 600;\n"
    );
    for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        let _ = writeln!(text, "  {kind}_temp_path {folder}/{kind};");
    }
    let _ = writeln!(text, "  server {{ listen {address}; {server} }}\n}}");
    text
}

#[cfg(test)]
mod tests {
    use crate::load;

    use super::*;

    #[tokio::test]
    async fn the_peers_run_here() -> Result<()> {
        if load::run(tokio::process::Command::new("sh").args(["-c", "command -v nginx curl wrk"])).await.is_err() {
            return Ok(());
        }
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("file"), vec![7; 100_000])?;
        let nginx = Nginx::files(folder.path()).await?;
        assert!(load::curl(&nginx.url("/file"), 3, 100_000).await? > 0.0);
        load::curl(&nginx.url("/nothing"), 1, 100_000).await.unwrap_err();
        let found = load::wrk(1, 2, 1, &["-H", "Range: bytes=0-1023"], &nginx.url("/file")).await?;
        assert!(found.requests_per_second > 0.0 && found.p99.as_nanos() > 0);
        load::wrk(1, 2, 1, &[], &nginx.url("/nothing")).await.unwrap_err();
        assert!(nginx.pids()?.len() > 1);
        assert!(usage::anonymous_bytes(nginx.pids()?[0])? > 0);
        let other = Nginx::redirects("http://127.0.0.1:1/x?ticket=1").await?;
        load::wrk(1, 2, 1, &[], &other.url("/anything")).await?;
        Ok(())
    }
}
