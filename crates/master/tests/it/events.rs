//! The list of events and the live stream.

use futures_util::StreamExt as _;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Running, eventually};

#[tokio::test]
async fn ids_have_no_gaps_and_a_stream_goes_on_where_it_broke_off() {
    let master = Running::start().await;
    master.create("m-1").await;
    let kinds = eventually("the meeting's event is written", || async {
        let (_, page) = master.ask(Method::GET, "/api/v1/events?limit=1000", &json!(null)).await;
        let events = page["events"].as_array()?.clone();
        let ids: Vec<u64> = events.iter().filter_map(|event| event["id"].as_u64()).collect();
        assert_eq!(ids, (1..=events.len() as u64).collect::<Vec<_>>());
        let kinds: Vec<String> = events.iter().map(|event| event["kind"].as_str().unwrap().to_owned()).collect();
        kinds.contains(&"meeting_created".to_owned()).then_some(kinds)
    })
    .await;
    assert_eq!(kinds, ["started", "signed_in", "meeting_created"]);

    let request = master.admin(Method::GET, "/api/v1/events/stream").header("last-event-id", "2");
    let mut stream = request.send().await.unwrap().bytes_stream();
    let mut text = String::new();
    master.set_status("m-1", "进行中").await;
    while !text.contains("meeting_ready") {
        text += &String::from_utf8_lossy(&stream.next().await.unwrap().unwrap());
    }
    let ids: Vec<u64> = text.lines().filter_map(|line| line.strip_prefix("id: ")?.parse().ok()).collect();
    assert_eq!(ids, (3..3 + ids.len() as u64).collect::<Vec<_>>());
    let first = text.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(first).unwrap()["kind"], "meeting_created");
    assert_eq!(master.http.get(master.url("/api/v1/events/stream")).send().await.unwrap().status(), 401);
    // The stream does not keep the master from stopping.
    master.end().await;
}
