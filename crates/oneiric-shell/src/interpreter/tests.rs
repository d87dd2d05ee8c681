#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde_json::json;

use oneiric::clock::SystemClock;
use oneiric::fault::Fault;

use super::*;
use crate::terminal::Terminal;

struct Session {
    interpreter: Interpreter,
    output: Output,
    interrupt: Arc<AtomicBool>,
    /// Whoever waits in `stuck` goes on when this is dropped.
    _release: mpsc::Sender<()>,
}

impl Session {
    fn new() -> Self {
        Self::with_limits(Limits::default())
    }

    fn with_limits(limits: Limits) -> Self {
        let (release, released) = mpsc::channel::<()>();
        let released = Mutex::new(released);
        let functions = vec![
            Function::new("rows", "Gives rows.", |_| {
                let rows = json!([{"name": "a", "size": 1}, {"name": "b", "size": 20}]);
                Ok(Reply { value: rows, shown: Shown::Value })
            }),
            Function::new("nothing", "Gives no rows and says so.", |_| {
                Ok(Reply { value: json!([]), shown: Shown::Text("No rows yet.".into()) })
            }),
            Function::new("double", "Doubles.", |arguments| {
                Ok(Reply { value: json!(arguments.number("n", 0)? * 2), shown: Shown::Value })
            })
            .optional("n", 10),
            Function::new("stuck", "Waits for its release.", move |_| {
                let _ = released.lock().unwrap().recv();
                Ok(Reply::default())
            }),
            Function::new("broken", "Fails.", |_| Err(Fault::unavailable("the peer is down").hint("start it"))),
        ];
        Self {
            interpreter: Interpreter::new(functions, limits, Arc::new(SystemClock)).with_objects(objects()),
            output: Output::buffer(Terminal::PLAIN),
            interrupt: Arc::default(),
            _release: release,
        }
    }

    /// Runs all statements of `code`; what they echo, one after the other.
    fn try_run(&mut self, code: &str) -> Result<Vec<String>, Trouble> {
        let mut shown = Vec::new();
        for statement in self.interpreter.split(code, 0, 0)? {
            match self.interpreter.run(&statement, &self.output, &self.interrupt)? {
                Some(Echo::Text(text)) => shown.push(text),
                Some(Echo::Live(live)) => shown.push(live.draw(Terminal::PLAIN).unwrap().text),
                None => {}
            }
        }
        Ok(shown)
    }

    #[track_caller]
    fn check(&mut self, code: &str, expected: &[&str]) {
        match self.try_run(code) {
            Ok(shown) => assert_eq!(shown, expected, "{code}"),
            Err(trouble) => panic!("{code}\n{}", trouble.render(Terminal::PLAIN)),
        }
    }

    #[track_caller]
    fn trouble(&mut self, code: &str) -> Trouble {
        self.try_run(code).expect_err(code)
    }
}

fn objects() -> Vec<Object> {
    let rows = json!([{"name": "a", "path": "/a", "deep": {"x": 1}}, {"name": "b", "path": "/b", "deep": null}]);
    vec![
        Object::new("app", "The program.", &["version"], || {
            Ok(Reply { value: json!({"version": "1", "pid": 7}), shown: Shown::Value })
        }),
        Object::new("things", "Things.", &["name", "path"], move || {
            Ok(Reply { value: rows.clone(), shown: Shown::Text("two things".into()) })
        })
        .found_by("name", |text, rows| {
            let found = rows.iter().find(|row| row["name"] == text).cloned();
            found.ok_or_else(|| Fault::not_found(format!("no thing {text}")))
        }),
    ]
}

#[test]
fn objects_have_fields_and_entries_by_name_and_number() {
    let mut session = Session::new();
    session.check("app.version", &["\"1\""]);
    session.check("app['pid']", &["7"]);
    session.check("things['b'].path", &["\"/b\""]);
    session.check("things [ 'b' ] .path + things[-1].name", &["\"/bb\""]);
    session.check("things[0].deep['x']", &["1"]);
    session.check("things", &["two things"]);
    session.check("[t.name for t in things if t.path == things['a'].path]", &["[\"a\"]"]);
    session.check("(len(things), things[0:1][0].name)", &["(2, \"a\")"]);
    session.check("def f(n):\n    return things[n].path\n", &[]);
    session.check("f('a')", &["\"/a\""]);
}

#[test]
fn what_is_not_in_an_object_is_told_at_the_place_that_was_typed() {
    let mut session = Session::new();
    assert_eq!(session.trouble("things['z']").message(), "no thing z");
    assert!(session.trouble("things[5]").message().contains("there are 2"));
    let trouble = session.trouble("x = things['a'].name + things['b'].pfad");
    let place = trouble.place().unwrap();
    assert_eq!(place.source, "x = things['a'].name + things['b'].pfad");
    assert_eq!((place.column, place.offset), (24, 23), "{}", trouble.render(Terminal::PLAIN));
    assert!(session.trouble("app.verson").message().contains("version"));
}

#[test]
fn a_name_that_the_user_has_made_is_the_users() {
    let mut session = Session::new();
    session.check("[things for things in [1, 2]]", &["[1, 2]"]);
    session.check("(lambda things: things)(3)", &["3"]);
    session.check("things = [4]", &[]);
    session.check("things[0]", &["4"]);
    session.check("'things' + \"app\"", &["\"thingsapp\""]);
}

#[test]
fn variables_stay_from_entry_to_entry() {
    let mut session = Session::new();
    session.check("x = 3", &[]);
    session.check("x", &["3"]);
    session.check("x = x + 1; x += 1", &[]);
    session.check("x * 2", &["10"]);
    session.check("x = 'text'; x", &["\"text\""]);
    assert!(session.interpreter.variables().contains("x"));
}

#[test]
fn loops_conditions_and_functions_stand_at_the_top() {
    let mut session = Session::new();
    session.check("t = 0\nfor i in range(5):\n    if i % 2:\n        t += i\nt", &["4"]);
    session.check("def f(n, step=1):\n    return n + step", &[]);
    session.check("f(1); f(1, step=5)", &["2", "6"]);
    session.check("if t > 3: print('big')\nelse: print('small')", &[]);
    assert_eq!(session.output.contents().0, "big\n");
}

#[test]
fn comprehensions_and_format_strings_work() {
    let mut session = Session::new();
    session.check("[x * x for x in range(4) if x]", &["[1, 4, 9]"]);
    session.check("{k: v for k, v in [('a', 1)]}", &["{\"a\": 1}"]);
    session.check("n = 7; f'{n} {n + 1} {\"x\" * 2}'", &["\"7 8 xx\""]);
    session.check("'{} {}'.format(1, 2)", &["\"1 2\""]);
}

#[test]
fn the_underscore_is_the_last_value() {
    let mut session = Session::new();
    session.check("40 + 2", &["42"]);
    session.check("_ + 1", &["43"]);
    session.check("print(_)", &[]);
    session.check("_", &["43"]);
    session.check("None", &[]);
    session.check("_", &["43"]);
}

#[test]
fn every_top_level_statement_is_one_command() {
    let mut session = Session::new();
    let code = "double(); x = 1\nfor i in [1]:\n    print(i)\n    print(i)\n\nx; 'a;b'";
    let statements = session.interpreter.split(code, 2, 5).unwrap();
    let texts: Vec<&str> = statements.iter().map(|statement| statement.text.as_str()).collect();
    assert_eq!(texts, ["double()", "x = 1", "for i in [1]:\n    print(i)\n    print(i)", "x", "'a;b'"]);
    let kinds: Vec<bool> = statements.iter().map(|statement| statement.is_expression).collect();
    assert_eq!(kinds, [true, false, false, true, true]);
    let places: Vec<_> = statements.iter().map(|statement| (statement.line, statement.column)).collect();
    assert_eq!(places, [(2, 5), (2, 15), (3, 0), (7, 0), (7, 3)]);
}

#[test]
fn functions_of_the_program_are_functions_of_the_language() {
    let mut session = Session::new();
    session.check("double()", &["20"]);
    session.check("double(4) + double(n=1)", &["10"]);
    session.check("[r['name'] for r in rows() if r['size'] > 1]", &["[\"b\"]"]);
    session.check("for r in rows(): print(r['name'])", &[]);
    assert_eq!(session.output.contents().0, "a\nb\n");
    session.check("double", &["double(n=10): Doubles."]);
}

#[test]
fn rows_are_shown_as_a_table_and_replies_in_their_own_form() {
    let mut session = Session::new();
    session.check(
        "rows()",
        &["┌──────┬──────┐\n│ name │ size │\n├──────┼──────┤\n│ a    │    1 │\n│ b    │   20 │\n└──────┴──────┘"],
    );
    session.check("nothing()", &["No rows yet."]);
    session.check("x = nothing(); x", &["No rows yet."]);
    session.check("len(nothing())", &["0"]);
}

#[test]
fn wrong_calls_say_how_to_call() {
    let mut session = Session::new();
    for (code, message) in [
        ("double(1, 2)", "double takes 1 arguments, not 2"),
        ("double(m=2)", "double has no parameter m"),
        ("double('x')", "n must be a whole number of at least 0, not \"x\""),
        ("double(-1)", "n must be a whole number of at least 0, not -1"),
    ] {
        assert_eq!(session.trouble(code).message(), message, "{code}");
    }
    let text = session.trouble("broken()").render(Terminal::PLAIN);
    assert_eq!(text, "error: the peer is down\nhelp: start it");
}

#[test]
fn an_error_shows_its_place() {
    let mut session = Session::new();
    let trouble = session.trouble("x = 1\ny = x + 'a'");
    let place = trouble.place().unwrap();
    assert_eq!((place.line, place.column, place.length), (2, 5, 7));
    let text = trouble.render(Terminal::PLAIN);
    assert!(text.contains("\n  at 2:5\n    y = x + 'a'\n        ^^^^^^^"), "{text}");
    let trouble = session.trouble("ok = 1; boom + 1");
    assert_eq!(trouble.place().map(|place| (place.line, place.column)), Some((1, 9)));
}

#[test]
fn an_error_in_an_earlier_function_shows_that_function() {
    let mut session = Session::new();
    session.check("def f(a):\n    return a + 'x'", &[]);
    let text = session.trouble("f(1)").render(Terminal::PLAIN);
    assert!(text.contains("return a + 'x'") && text.contains("in f, called at 1:1"), "{text}");
}

#[test]
fn a_syntax_error_runs_nothing_and_shows_its_place() {
    let mut session = Session::new();
    let trouble = session.trouble("print('no')\nx = = 2");
    assert_eq!(trouble.kind(), TroubleKind::Syntax);
    assert_eq!(trouble.place().map(|place| (place.line, place.column)), Some((2, 5)));
    assert_eq!(session.output.contents().0, "");
    let text = session.trouble("while True: pass").render(Terminal::PLAIN);
    assert!(text.contains("help: there is no while"), "{text}");
}

#[test]
fn an_endless_loop_ends_at_the_time_limit() {
    let mut session = Session::with_limits(Limits { time: Some(Duration::from_millis(200)), ..Limits::default() });
    let trouble = session.trouble("for i in range(2000000000):\n    pass");
    assert_eq!(trouble.kind(), TroubleKind::TimeLimit);
    assert_eq!(trouble.message(), "stopped after 0.2 s, the time limit of one statement");
    session.check("1 + 1", &["2"]);
}

#[test]
fn an_interrupt_stops_the_statement_and_not_the_interpreter() {
    let mut session = Session::new();
    session.check("keep = 5", &[]);
    session.interrupt.store(true, Ordering::Release);
    let trouble = session.trouble("for i in range(2000000000):\n    pass");
    assert_eq!(trouble.kind(), TroubleKind::Interrupted);
    session.interrupt.store(false, Ordering::Release);
    session.check("keep", &["5"]);
}

#[test]
fn deep_recursion_is_an_error_and_no_crash() {
    let mut session = Session::new();
    session.check("def f(n):\n    return f(n + 1)", &[]);
    let trouble = session.trouble("f(0)");
    assert_eq!(trouble.kind(), TroubleKind::Failed);
    assert!(trouble.message().to_lowercase().contains("overflow"), "{}", trouble.message());
    session.check("1", &["1"]);
}

#[test]
fn a_number_that_is_too_large_for_a_function_is_told_with_what_is_wanted() {
    let mut session = Session::new();
    for (code, number) in [("range(1000000000000)", "1000000000000"), ("[1][-99999999999]", "-99999999999")] {
        let told = session.trouble(code).message().to_owned();
        assert!(told.contains("from -2147483648 to 2147483647") && told.ends_with(number), "{told}");
    }
}

#[test]
fn hostile_shapes_of_code_are_errors_or_results_and_never_crashes() {
    let mut session = Session::new();
    for code in [
        "(".repeat(5_000),
        "-".repeat(100_000) + "1",
        "1".to_owned() + &"+1".repeat(60_000),
        "not ".repeat(30_000) + "x",
        "x".to_owned() + &"[0]".repeat(40_000),
        "a".repeat(200_000),
    ] {
        let _ = session.try_run(&code);
    }
    session.check("2 + 2", &["4"]);
}

#[test]
fn exit_inside_code_is_a_request() {
    let mut session = Session::new();
    assert_eq!(session.trouble("if True: exit(7)").kind(), TroubleKind::Exit(7));
    assert_eq!(session.trouble("quit()").kind(), TroubleKind::Exit(0));
    assert_eq!(session.trouble("exit(999)").kind(), TroubleKind::Failed);
}

#[test]
fn what_is_printed_cannot_steer_the_terminal() {
    let mut session = Session::new();
    session.check("print('a\\x1b[2Jb')", &[]);
    session.check("print('a\\x07b')", &[]);
    assert_eq!(session.output.contents().0, "ab\na\u{fffd}b\n");
}

#[test]
fn what_would_be_too_large_is_refused_before_it_is_made_and_the_rest_is_as_it_was() {
    let mut session = Session::with_limits(Limits { heap: 8 << 20, ..Limits::default() });
    for code in [
        "'x' * 100000000",
        "100000000 * 'x'",
        "[0] * 100000000",
        "s = 'ab'\ns *= 100000000",
        "list(range(100000000))",
        "','.join(['x' * 1000000] * 1000)",
        "('a' * 100000).replace('a', 'b' * 100000)",
        "('{0}' * 100).format('x' * 1000000)",
        "'%s %s' % ('x' * 4000000, 'y' * 7000000)",
        "s = 'x'\nfor i in range(60):\n    s += s\n",
        "[t * 1000000 for t in ['x'] * 10000]",
    ] {
        let trouble = session.trouble(code);
        assert!(trouble.message().contains("more memory than code may have, which is 8 MiB"), "{code}: {trouble:?}");
    }
    session.check("x = 'ab'; x *= 2; x", &["\"abab\""]);
    session.check("x = 7; x %= 4; x", &["3"]);
    session.check("def f(n):\n    n *= 1 + 1\n    return n\n\nf(4)", &["8"]);
    session.check("('a' + '-').join(['b', 'c']).replace('-', '+').format()", &["\"ba+c\""]);
    session.check("'{} {n}'.format(1, n = 2); ['1', '2'][0].join(('a', 'b'))", &["\"1 2\"", "\"a1b\""]);
    session.check(
        "(('a') + ('b')).join(['1', '2']); ( 'x' ).upper().join(['(', ')']); [('a')][0].replace(('a'), 'b')",
        &["\"1ab2\"", "\"(X)\"", "\"b\""],
    );
    session.check("struct(join = len).join('abc'); '%s-%s' % (1, 'b')", &["3", "\"1-b\""]);
    session.check(
        "sorted([3, 1], reverse = True); dict(a = 1); [list(x) for x in [(1, 2)]]",
        &["[3, 1]", "{\"a\": 1}", "[[1, 2]]"],
    );
    session.check("def list(x): return 'mine'", &[]);
    session.check("list(1)", &["\"mine\""]);
    let trouble = session.trouble("1 + (2).join([])");
    assert!(trouble.message().contains("join"), "{trouble:?}");
    let trouble = session.trouble("y = 1\nx = [1] + 2 + 'z'");
    assert_eq!(trouble.place().map(|place| (place.line, place.column)), Some((2, 5)), "{trouble:?}");
    assert!(!trouble.render(Terminal::PLAIN).contains("sum__"), "{trouble:?}");
}

#[test]
fn a_statement_that_does_not_listen_is_left_behind() {
    let mut session = Session::with_limits(Limits {
        time: Some(Duration::from_millis(50)),
        grace: Duration::from_millis(50),
        ..Limits::default()
    });
    session.check("keep = 1", &[]);
    let trouble = session.trouble("stuck(); print('late')");
    assert_eq!(trouble.kind(), TroubleKind::TimeLimit);
    assert!(trouble.render(Terminal::PLAIN).contains("its variables are gone"));
    session.check("6 * 7", &["42"]);
    assert!(session.interpreter.variables().iter().all(|name| name == "_"));
    assert_eq!(session.output.contents().0, "");
}
