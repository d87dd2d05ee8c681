//! LlamaIndex's workflow server: a run is a handler whose id is the attempt's key.
//!
//! A handler of a server that was killed goes on saying `running`; the server takes some of them up again half a minute after
//! it is back. So nothing but events counts as a sign of life.

use std::time::Duration;

use serde_json::{Value, json};

use super::form::segment;
use super::http::{Credentials, Http, Payload};
use super::{AdapterSettings, Found, Order, Reading, Remote, Seen, Target, Trouble, names, short, sign_of};
use crate::workflows::fact::Outcome;

/// Longest wait for an answer.
const LIMIT: Duration = Duration::from_secs(20);
/// How long a stream of events is listened to: it stays open for as long as the run goes on.
const LISTEN: Duration = Duration::from_millis(500);
/// Most bytes of events that are read at once.
const MOST: u64 = 1024 * 1024;

/// A workflow server.
pub struct LlamaIndex {
    http: Http,
}

impl LlamaIndex {
    /// The server of these settings.
    #[must_use]
    pub fn new(settings: &AdapterSettings) -> Self {
        let credentials = settings.auth.clone().map_or(Credentials::Nothing, Credentials::Bearer);
        Self { http: Http::new("LlamaIndex", &settings.url, credentials, LIMIT) }
    }

    /// A handler; nothing when there is none. One that failed is told by status 500 and a valid body.
    fn handler(&self, id: &str) -> Result<Option<Value>, Trouble> {
        let answer = self.http.ask(&format!("/handlers/{}", segment(id)), Payload::None, &[])?;
        match &answer.body {
            Ok(body) if body["handler_id"].is_string() && body["status"].is_string() => Ok(Some(body.clone())),
            Ok(body) if answer.status == 404 && body["detail"].is_string() => Ok(None),
            // Its result cannot be read by the server itself, so how it ended is known only to be an end.
            Ok(_) if answer.status == 422 => Ok(Some(json!({ "handler_id": id, "status": "unreadable" }))),
            _ => self.http.good(answer).and_then(|_| Err(garbage())),
        }
    }
}

impl Remote for LlamaIndex {
    fn verify(&self, limit: Duration) -> Result<Found, Trouble> {
        let http = self.http.within(limit);
        let health = http.json("/health", Payload::None, &[])?;
        if health["status"].as_str() != Some("healthy") {
            return Err(Trouble::Broken(format!(
                "what answers at {} is not healthy, or no workflow server",
                self.http.base()
            )));
        }
        http.json("/workflows", Payload::None, &[])?;
        let mut notes = Vec::new();
        if self.http.is_exposed() {
            notes.push("credentials travel unencrypted: use https".to_owned());
        }
        Ok(Found { version: String::new(), notes })
    }

    fn targets(&self) -> Result<Vec<Target>, Trouble> {
        let found = self.http.json("/workflows", Payload::None, &[])?;
        let mut targets: Vec<Target> = Vec::new();
        for name in found["workflows"].as_array().ok_or_else(garbage)?.iter().filter_map(Value::as_str).take(1_000) {
            let schema = match targets.len() {
                0..50 => self.http.json(&format!("/workflows/{}/schema", segment(name)), Payload::None, &[]).ok(),
                _ => None,
            };
            let parameters = schema.as_ref().and_then(|schema| schema["start"]["properties"].as_object());
            targets.push(Target {
                name: name.to_owned(),
                state: "workflow".to_owned(),
                parameters: parameters.map(names).unwrap_or_default(),
                waits: None,
            });
        }
        Ok(targets)
    }

    fn find(&self, order: &Order) -> Result<Option<String>, Trouble> {
        Ok(self.handler(order.key)?.map(|_| order.key.to_owned()))
    }

    fn begin(&self, order: &Order) -> Result<String, Trouble> {
        // A handler that has ended would be begun anew under its id, so it is looked for first.
        if let Some(run) = self.find(order)? {
            return Ok(run);
        }
        let mut event = order.parameters.clone();
        if let Some(dir) = order.dir {
            event.entry("repo").or_insert_with(|| order.repo.into());
            event.entry("path").or_insert_with(|| dir.display().to_string().into());
        }
        let body = json!({ "start_event": event, "handler_id": order.key });
        let path = format!("/workflows/{}/run-nowait", segment(order.target));
        let answer = self.http.ask(&path, Payload::Json(&body), &[])?;
        match (answer.status, &answer.body) {
            (409, _) => Ok(order.key.to_owned()),
            (404, Ok(_)) => Err(Trouble::NotFound(format!("LlamaIndex has no workflow {}", order.target))),
            (_, Ok(body)) if body["handler_id"].as_str() == Some(order.key) => Ok(order.key.to_owned()),
            _ => self.http.good(answer).and_then(|_| Err(garbage())),
        }
    }

    fn look(&self, run: &str) -> Result<Seen, Trouble> {
        self.handler(run)?.map_or(Ok(Seen::Missing), |handler| seen(&handler))
    }

    fn cancel(&self, run: &str) -> Result<(), Trouble> {
        self.http.json(&format!("/handlers/{}/cancel", segment(run)), Payload::Form(&[]), &[]).map(drop)
    }

    fn read(&self, run: &str, reading: &mut Reading) -> Result<String, Trouble> {
        if reading.complete {
            return Ok(String::new());
        }
        // Sequence numbers begin at 0; -1 is all of them.
        let after = reading.position - 1;
        let path = format!("/events/{}?sse=true&after_sequence={after}", segment(run));
        let (bytes, ended) = self.http.listen(&path, LISTEN, MOST)?;
        let (text, next) = events(&String::from_utf8_lossy(&bytes));
        reading.position = next.map_or(reading.position, |next| next + 1);
        reading.complete = ended;
        Ok(text)
    }
}

/// Whole events of a stream: their lines, and the number of the last one.
fn events(stream: &str) -> (String, Option<i64>) {
    let (mut text, mut last) = (String::new(), None);
    // What follows the last empty line is cut off.
    let whole = stream.rfind("\n\n").map_or("", |at| &stream[..at]);
    for event in whole.split("\n\n") {
        let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let (Some(number), Some(data)) = (field("id:").and_then(|id| id.parse().ok()), field("data:")) else {
            continue;
        };
        last = Some(number);
        let Ok(data) = serde_json::from_str::<Value>(data) else { continue };
        let kind = data["type"].as_str().unwrap_or("Event");
        text.push_str(&format!("{kind} {}\n", data["value"]));
    }
    (text, last)
}

/// What a handler's status means.
fn seen(handler: &Value) -> Result<Seen, Trouble> {
    let status = handler["status"].as_str().ok_or_else(garbage)?;
    let ended = |outcome, note, result| Seen::Ended { outcome, note, result };
    Ok(match status {
        "running" => {
            let updated = handler["updated_at"].as_str().unwrap_or_default();
            Seen::Working { sign: sign_of(&[updated]), doubt: None }
        }
        "completed" => {
            let value = &handler["result"]["value"];
            let result = value.get("result").unwrap_or(value).clone();
            ended(Outcome::Succeeded, None, Some(result).filter(|result| !result.is_null()))
        }
        "failed" => {
            let why = handler["error"].as_str().map(short).filter(|text| !text.is_empty());
            ended(Outcome::Failed, Some(why.unwrap_or_else(|| "LlamaIndex says that it failed".to_owned())), None)
        }
        "cancelled" => ended(Outcome::Cancelled, Some("cancelled in LlamaIndex".to_owned()), None),
        "unreadable" => {
            ended(Outcome::Crashed, Some("the server cannot read the run's result any more".to_owned()), None)
        }
        other => return Err(Trouble::Broken(format!("LlamaIndex says that the run is {}", short(other)))),
    })
}

fn garbage() -> Trouble {
    Trouble::Broken("LlamaIndex's answer cannot be understood".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_its_meaning() {
        let is =
            |status: &str| seen(&json!({ "status": status, "error": "boom", "result": { "value": { "result": 4 } } }));
        assert!(matches!(is("running").unwrap(), Seen::Working { .. }));
        let Seen::Ended { outcome: Outcome::Succeeded, result: Some(result), .. } = is("completed").unwrap() else {
            panic!("no result")
        };
        assert_eq!(result.as_i64(), Some(4));
        let failed = Seen::Ended { outcome: Outcome::Failed, note: Some("boom".into()), result: None };
        assert_eq!(is("failed").unwrap(), failed);
        assert!(is("dreaming").is_err() && seen(&json!(null)).is_err());
    }

    #[test]
    fn events_that_were_cut_off_are_read_again() {
        let stream =
            "id: 0\ndata: {\"type\":\"Progress\",\"value\":{\"a\":1}}\n\n: heartbeat\n\nid: 1\ndata: {\"type\":\"Pro";
        assert_eq!(events(stream), ("Progress {\"a\":1}\n".into(), Some(0)));
        let end = "id: 7\ndata: {\"type\":\"StopEvent\",\"value\":{}}\n\n";
        assert_eq!(events(end), ("StopEvent {}\n".into(), Some(7)));
        assert_eq!(events("").1, None);
    }
}
