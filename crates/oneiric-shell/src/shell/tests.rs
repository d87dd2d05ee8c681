#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Mutex;
use std::time::Duration;

use oneiric::clock::SystemClock;
use oneiric::fault::Fault;
use serde_json::json;

use super::*;
use crate::interpreter::{Function, Reply, Shown};
use crate::program::{CommandDoc, Magic};
use crate::terminal::Terminal;

struct Sample(Vec<CommandDoc>);

impl Program for Sample {
    fn name(&self) -> &str {
        "sample"
    }
    fn functions(&self) -> Vec<Function> {
        vec![
            Function::new("ps", "Show workflows.", |_| {
                Ok(Reply { value: json!([]), shown: Shown::Text("No workflows.".into()) })
            }),
            Function::new("errors", "Show errors.", |arguments| {
                Ok(Reply { value: json!(arguments.number("n", 1)?), shown: Shown::Value })
            })
            .optional("n", 10),
        ]
    }
    fn magics(&self) -> &[Magic] {
        &[Magic { name: "repos", arguments: "[tag]", doc: "List repositories" }]
    }
    fn magic(&self, _: &str, arguments: &[String], output: &Output) -> oneiric::fault::Result<()> {
        match arguments {
            [tag] if tag == "bad" => Err(Fault::not_found("no repository has the tag bad").hint("try rust")),
            _ => {
                output.line(&format!("repositories {arguments:?}"));
                Ok(())
            }
        }
    }
    fn commands(&self) -> &[CommandDoc] {
        &self.0
    }
    fn command(&self, words: &[String], output: &Output) -> i32 {
        output.line(&format!("ran {words:?}"));
        i32::from(words.iter().any(|word| word == "--fail")) * 6
    }
    fn complete(&self, _: &[&str]) -> Vec<String> {
        Vec::new()
    }
}

#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl Journal for Notes {
    fn excerpt(&self) -> usize {
        64
    }
    fn record(&self, text: &str, kind: CommandKind, work: &mut dyn FnMut() -> Finished) -> Finished {
        let finished = work();
        let line = format!("{} `{text}` {} {}", kind.as_str(), finished.outcome, finished.exit_code);
        self.0.lock().unwrap().push(line);
        finished
    }
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }
}

struct Bench {
    shell: Shell,
    notes: Arc<Notes>,
    output: Output,
}

impl Bench {
    fn new() -> Self {
        let commands = vec![CommandDoc { name: "list-repos".into(), doc: "List repositories".into() }];
        let notes = Arc::new(Notes::default());
        let output = Output::buffer(Terminal::PLAIN);
        let limits = Limits { time: Some(Duration::from_secs(20)), ..Limits::default() };
        let shell = Shell::new(
            Arc::new(Sample(commands)),
            Arc::clone(&notes) as _,
            limits,
            Arc::new(SystemClock),
            output.clone(),
            Interrupts::detached(),
        );
        Self { shell, notes, output }
    }

    fn notes(&self) -> Vec<String> {
        self.notes.0.lock().unwrap().clone()
    }
}

#[test]
fn every_piece_is_recorded_as_what_it_is() {
    let mut bench = Bench::new();
    let ending = bench.shell.run_code("ps(); x = 1\n%repos rust\nlist-repos --tag 'a b'\n?ps\n!echo hi; echo ho\nx");
    assert_eq!(ending, Ending { reason: "exit", exit_code: 0 });
    assert_eq!(
        bench.notes(),
        [
            "expression `ps()` completed 0",
            "statement `x = 1` completed 0",
            "magic `%repos rust` completed 0",
            "cli `list-repos --tag 'a b'` completed 0",
            "magic `?ps` completed 0",
            "system `!echo hi; echo ho` completed 0",
            "expression `x` completed 0",
        ]
    );
    let text = "No workflows.\nrepositories [\"rust\"]\nran [\"list-repos\", \"--tag\", \"a b\"]\nps()\n  Show workflows.\nhi\nho\n1\n";
    assert_eq!(bench.output.contents().0, text);
}

#[test]
fn a_script_ends_at_its_first_failure() {
    let mut bench = Bench::new();
    let ending = bench.shell.run_code("errors(5); 1 // 0; ps()");
    assert_eq!(ending, Ending { reason: "error", exit_code: 1 });
    assert_eq!(bench.notes(), ["expression `errors(5)` completed 0", "expression `1 // 0` failed 1"]);
    let (out, err) = bench.output.contents();
    assert_eq!(out, "5\n");
    assert!(err.contains("at 1:12"), "{err}");
}

#[test]
fn commands_and_system_commands_end_a_script_with_their_own_code() {
    assert_eq!(Bench::new().shell.run_code("list-repos --fail; ps()"), Ending { reason: "error", exit_code: 6 });
    assert_eq!(Bench::new().shell.run_code("!exit 7\nps()"), Ending { reason: "error", exit_code: 7 });
    assert_eq!(Bench::new().shell.run_code("%repos bad"), Ending { reason: "error", exit_code: 1 });
}

#[test]
fn exit_ends_at_once_and_is_no_command() {
    for (code, exit_code) in
        [("exit", 0), ("exit(3)", 3), ("ps(); exit; ps()", 0), ("if True: exit(4)", 4), ("%repos; exit", 0)]
    {
        let mut bench = Bench::new();
        assert_eq!(bench.shell.run_code(code), Ending { reason: "exit", exit_code }, "{code}");
        assert!(bench.notes().len() <= 1, "{code}: {:?}", bench.notes());
    }
}

#[test]
fn piped_lines_go_on_after_a_failure_and_end_with_the_input() {
    let mut bench = Bench::new();
    let script = "ps()\n\nboom\nfor i in range(2):\n    print(i)\n\n    print('-')\nerrors(2)\n!cat\n";
    let ending = bench.shell.run_lines(script.as_bytes());
    assert_eq!(ending, Ending { reason: "eof", exit_code: 0 });
    let kinds: Vec<String> = bench.notes().iter().map(|note| note.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(kinds, ["expression", "expression", "statement", "expression", "system"]);
    assert_eq!(bench.output.contents().0, "No workflows.\n0\n-\n1\n-\n2\n");
    assert!(bench.output.contents().1.contains("boom"));
}

#[test]
fn the_seeds_functional_test_is_three_commands() {
    let mut bench = Bench::new();
    let ending = bench.shell.run_lines("ps()\nerrors()\nerrors(5)\nexit\n".as_bytes());
    assert_eq!(ending, Ending { reason: "exit", exit_code: 0 });
    assert_eq!(bench.notes().len(), 3);
}

#[test]
fn an_unknown_magic_names_its_neighbours() {
    let mut bench = Bench::new();
    bench.shell.run_lines("%reops\n%zzz\n%help_shell rpos\n".as_bytes());
    let (_, err) = bench.output.contents();
    assert!(err.contains("error: no magic %reops\nhelp: did you mean %repos?"), "{err}");
    assert!(err.contains("help: %help_shell lists the magics"), "{err}");
}

#[test]
fn help_lists_everything_there_is() {
    let mut bench = Bench::new();
    bench.shell.run_code("?");
    let text = bench.output.contents().0;
    for word in ["errors(n=10)", "%repos [tag]", "%who", "list-repos", "!cmd"] {
        assert!(text.contains(word), "{word} in {text}");
    }
}

#[test]
fn a_syntax_error_is_one_failed_command_and_nothing_runs() {
    let mut bench = Bench::new();
    assert_eq!(bench.shell.run_code("ps(); x = = 1").exit_code, 1);
    assert_eq!(bench.notes(), ["statement `ps(); x = = 1` failed 1"]);
    assert_eq!(bench.output.contents().0, "");
}
