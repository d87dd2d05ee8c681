//! `test-session-tracking`: a probe session goes the whole way to Session-Buddy and is read back.

use std::sync::Arc;
use std::time::Duration;

use oneiric::recorder::{Captured, Outcome, Recorder, RecorderConfig};
use oneiric::settings::Settings;
use oneiric_server::health::Part;
use oneiric_shell::output::Output;
use serde_json::{Map, Value};

use crate::buddy;
use crate::who;
use crate::world::World;

/// Events of the probe session: start, one command, end.
const EVENTS: usize = 3;

const PEER: &str = "Session-Buddy MCP";
const TRACKING: &str = "Session tracking";
const CAPTURE: &str = "Event capture";

pub(super) fn run(world: &World, output: &Output) -> i32 {
    let parts = probe(world);
    for part in &parts {
        output.line(&part.line());
    }
    i32::from(parts.iter().any(|part| part.state == oneiric_server::health::PartState::Failed))
}

fn probe(world: &World) -> Vec<Part> {
    let peer = world.peer();
    let arguments = Map::from_iter([("limit".to_owned(), Value::from(1))]);
    let mut parts = Vec::new();
    match peer.call_tool("list_sessions", arguments, world.patience()) {
        Ok(_) => parts.push(Part::ok(PEER, "connected", peer.base())),
        Err(error) => {
            parts.push(Part::failed(PEER, "not connected", error.to_string(), buddy::advice(&error)));
            for name in [TRACKING, CAPTURE] {
                parts.push(Part::failed(
                    name,
                    "not tested",
                    "Session-Buddy does not answer",
                    "mend the line above first",
                ));
            }
            return parts;
        }
    }
    if let Some((name, source)) = switched_off(&world.settings, &world.shared) {
        parts.push(Part::failed(TRACKING, "disabled", format!("{name} = false"), format!("it was set by {source}")));
        parts.push(Part::failed(CAPTURE, "not tested", "sessions are not recorded", "mend the line above first"));
        return parts;
    }
    parts.extend(round_trip(world));
    parts
}

/// The setting that keeps sessions from being recorded, and where it came from.
pub(super) fn switched_off(settings: &Settings, shared: &Settings) -> Option<(&'static str, String)> {
    if !settings.bool("session.enabled") {
        return Some(("session_enabled", settings.source("session.enabled").to_owned()));
    }
    (!shared.bool("event_buffer.enabled"))
        .then(|| ("event_buffer_enabled", shared.source("event_buffer.enabled").to_owned()))
}

fn round_trip(world: &World) -> [Part; 2] {
    let config = RecorderConfig {
        enabled: true,
        spool_dir: world.settings.home().spool(),
        max_size: 1_000,
        flush_interval: Duration::from_secs(1),
        exit_deadline: world.patience(),
        checkpoint_interval: Duration::from_secs(600),
        output_cap: 4_096,
    };
    let redactor = world.redactor();
    let mut start = who::session_start(&world.surroundings, None, &redactor, "probe");
    start.session_type = "probe".into();
    let recorder = Recorder::start(config, start, world.peer(), Arc::clone(&world.clock), redactor);
    let session = recorder.session_id().as_str().to_owned();
    let pending = recorder.begin("test-session-tracking", "cli");
    recorder.finish(
        pending,
        Outcome { exit_code: Some(0), outcome: "completed", error: None, output: Captured::default(), cwd: None },
    );
    let warnings = recorder.take_warnings();
    let report = recorder.close("exit", "ended", 0);
    if report.pending + report.lost > 0 {
        let why = report.error.or_else(|| warnings.into_iter().next()).unwrap_or_else(|| "no reason is known".into());
        return [
            Part::failed(TRACKING, "not operational", why, "look at 'session-buddy health'"),
            Part::failed(CAPTURE, "not working", "the probe's events were not taken", "they wait on the spool"),
        ];
    }
    let read = |tool: &str, arguments: Map<String, Value>| {
        world.peer().call_tool(tool, arguments, world.patience()).map_err(|error| error.to_string())
    };
    let id = || Map::from_iter([("session_id".to_owned(), Value::from(session.clone()))]);
    let tracking = match read("get_session", id()) {
        Ok(found) => {
            let found = found.get("session").unwrap_or(&found).clone();
            match found.get("status").and_then(Value::as_str) {
                Some("ended") => Part::ok(TRACKING, "operational", format!("session {session}")),
                status => {
                    let fact = format!("the probe session {session} is {}", status.unwrap_or("without a status"));
                    Part::failed(TRACKING, "not operational", fact, "look at 'session-buddy logs'")
                }
            }
        }
        Err(why) => Part::failed(TRACKING, "not operational", why, "look at 'session-buddy logs'"),
    };
    let capture = match read("list_events", id())
        .and_then(|answer| buddy::rows(answer, "events").map_err(|fault| fault.to_string()))
    {
        Ok(events) if events.len() == EVENTS => {
            Part::ok(CAPTURE, "working", format!("{EVENTS} of {EVENTS} events read back"))
        }
        Ok(events) => {
            let fact = format!("{} of {EVENTS} events read back", events.len());
            Part::failed(CAPTURE, "not working", fact, "look at 'session-buddy logs'")
        }
        Err(why) => Part::failed(CAPTURE, "not working", why, "look at 'session-buddy logs'"),
    };
    [tracking, capture]
}
