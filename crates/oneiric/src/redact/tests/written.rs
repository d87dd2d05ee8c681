//! How values are written: joined from pieces, alone on their line, in lines of a diff; and what is no value but code.

use super::*;

/// Text, and what is left of it.
const WRITTEN: &[(&str, &str)] = &[
    // With brackets that nothing closes.
    ("DB_PASSWORD=Win(ter2024!", "DB_PASSWORD=[redacted:password]"),
    ("password: Win(ter2024!", "password: [redacted:password]"),
    ("https://x/?password=Win(ter2024!&x=1", "https://x/?password=[redacted:password]&x=1"),
    ("DB_PASSWORD=os.ter2024!", "DB_PASSWORD=[redacted:password]"),
    ("DB_PASSWORD=data.ter2024!", "DB_PASSWORD=[redacted:password]"),
    ("x --password 'Win)ter2024!'", "x --password '[redacted:password]'"),
    ("x --password Win)ter2024! -v", "x --password [redacted:password] -v"),
    ("a $(x --password Winter2024!) b", "a $(x --password [redacted:password]) b"),
    ("[b](https://x/?token=abc123DEF)](https://x)", "[b](https://x/?token=[redacted:token])](https://x)"),
    ("password = Win)ter2024!", "password = [redacted:password]"),
    ("environment:\n  - API_KEY=Win&ter;2024!", "environment:\n  - API_KEY=[redacted:api-key]"),
    ("docker run -e \"SA_PASSWORD=Win&ter;2024!\" x", "docker run -e \"SA_PASSWORD=[redacted:password]\" x"),
    ("curl -d 'password=Win2024&user=ada' x", "curl -d 'password=[redacted:password]&user=ada' x"),
    (
        "sed -i \"s/^PASSWORD=.*/PASSWORD='Winter2024!'/\" .env",
        "sed -i \"s/^PASSWORD=.*/PASSWORD='[redacted:password]'/\" .env",
    ),
    // Brackets behind the quotes that end an assignment belong to something else.
    ("{\"out\":\"password=bsYVvKvnzf9[XuCzxf4T\"}", "{\"out\":\"password=[redacted:password]\"}"),
    (
        "{\"Env\":[\"DB_PASSWORD=pqR[f-Mq7@X3qx^tP6u^\",\"A=b\"]}",
        "{\"Env\":[\"DB_PASSWORD=[redacted:password]\",\"A=b\"]}",
    ),
    (
        "<server><id>a</id><password>aB3]dE6fG</password></server>",
        "<server><id>a</id><password>[redacted:password]</password></server>",
    ),
    (
        "db:\n  password: correct horse battery\n  user: a",
        "db:\n  password: [redacted:password] horse battery\n  user: a",
    ),
    // Lists of assignments in quotes, behind an apostrophe or a sign for inches.
    (
        "The servers' env is ['API_TOKEN=Qz7Rk2Wm9Xt4', 'LANG=C']",
        "The servers' env is ['API_TOKEN=[redacted:token]', 'LANG=C']",
    ),
    ("the users' call: run('--token=Qz7Rk2Wm9Xt4', '-v')", "the users' call: run('--token=[redacted:token]', '-v')"),
    ("the users' cmd: ['run --token=Qz7Rk2Wm9Xt4', '-v']", "the users' cmd: ['run --token=[redacted:token]', '-v']"),
    (
        "5\" disk: {\"args\": [\"--token=Qz7Rk2Wm9Xt4\", \"-v\"]}",
        "5\" disk: {\"args\": [\"--token=[redacted:token]\", \"-v\"]}",
    ),
    (
        "The users' env is ['DB_PASSWORD=Qz7Rk2Wm9Xt4', 'LANG=C', 'MODE=prod']",
        "The users' env is ['DB_PASSWORD=[redacted:password]', 'LANG=C', 'MODE=prod']",
    ),
    // Words of a shell in several pieces.
    ("PGPASSWORD=Win\"ter2024!\" psql", "PGPASSWORD=[redacted:password] psql"),
    ("PGPASSWORD='Win'\"ter2024!\" psql", "PGPASSWORD=[redacted:password] psql"),
    ("PGPASSWORD=Win'ter2024!' psql", "PGPASSWORD=[redacted:password] psql"),
    ("DB_PASSWORD=\"Winter\"2024!", "DB_PASSWORD=[redacted:password]"),
    ("bash -c \"PGPASSWORD='Winter2024!' psql\"", "bash -c \"PGPASSWORD='[redacted:password]' psql\""),
    ("docker run -e \"SA_PASSWORD=Winter2024!\" x \"y\"", "docker run -e \"SA_PASSWORD=[redacted:password]\" x \"y\""),
    // Values with blanks, alone on their line.
    ("DB_PASSWORD=Winter 2024!", "DB_PASSWORD=[redacted:password]"),
    ("A=b\nDB_PASSWORD=Winter spring 2024!\nC=d", "A=b\nDB_PASSWORD=[redacted:password]\nC=d"),
    ("DB_PASSWORD=x1 make test", "DB_PASSWORD=[redacted:password] make test"),
    ("A=b\nDB_PASSWORD=x1 psql -h db", "A=b\nDB_PASSWORD=[redacted:password] psql -h db"),
    ("password: Winter 2024 spring!", "password: [redacted:password]"),
    ("password: Winter2024! # for staging", "password: [redacted:password] # for staging"),
    // Other ways to set a name.
    ("DB_PASSWORD+=Winter2024!", "DB_PASSWORD+=[redacted:password]"),
    ("DB_PASSWORD[0]=Winter2024!", "DB_PASSWORD[0]=[redacted:password]"),
    ("DB_PASSWORD ?= Winter2024!", "DB_PASSWORD ?= [redacted:password]"),
    ("${POSTGRES_PASSWORD-Winter2024!}", "${POSTGRES_PASSWORD-[redacted:password]}"),
    ("password: !!str Winter2024!", "password: !!str [redacted:password]"),
    ("password: &pw Winter2024!", "password: &pw [redacted:password]"),
    ("password:  # note\n  Winter2024!", "password:  # note\n  [redacted:password]"),
    ("password:#Winter2024!", "password:[redacted:password]"),
    // Lines of a diff.
    ("-password: Winter2024!", "-password: [redacted:password]"),
    ("-password = \"Winter2024!\"", "-password = \"[redacted:password]\""),
    ("tool -password Win(ter)2024!", "tool -password [redacted:password]"),
];

/// Pieces of programs.
const CODE: &[&str] = &[
    "-password: String,",
    "-password = get_password()",
    "-password = request.form['password']",
    "-secret = secrets.token_hex(32)",
    "-password: z.string()",
    "-password: hashedPassword,",
    "-password=hash(x),",
    "-password will be decoded",
    "-self.user, self.password = user, password",
    "-credentials. This one is used once",
    "password=Password()#remark",
    "grep 'password=.*' x",
    "pw = [1]*N",
    "export USE_CREDENTIALS=true'''",
    "AddressError('Wildcard (e.g. `2001:db8:*:*:*:*:*:*`)')",
    ") -> CompactSignature:\n    \"\"\"Extract and validate the JWS, or ANY of (a string, bytes); with [keys] = {1}.\"\"\"",
    "+password: String,",
    "password: options.password!,",
    "password: &mut String,",
    "signing_key: &[u8],",
    "password = parts[1]",
    "password=certs[0][2],",
    "password = authenticate(\n    user,",
    "let password = matches!(class, Class::Password | Class::Other);",
    "let token = generator.of::<Token>();",
    "let credentials = serde_json::from_value(serde_json::json!({",
    "api_key = f\"{prefix}:{key1}\"",
    "api_key = \"[0-9a-f]{32}\"",
    "\"access_token\": \"sign(user1)\"",
    "e.hasToken=function(e){if(!e)return!1;for(var t=1;;){}}",
    "the api_key: '<your-key-1>'",
];

#[test]
fn values_are_taken_whole_however_they_are_written() {
    let wrong: Vec<String> = WRITTEN
        .iter()
        .filter(|(text, out)| redacted(text) != *out || redacted(out) != *out)
        .map(|(text, out)| format!("{text:?} became {:?}, not {out:?}", redacted(text)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn pieces_of_programs_are_left_alone() {
    let changed: Vec<String> = CODE
        .iter()
        .filter(|text| redacted(text) != **text)
        .map(|text| format!("{text:?} became {:?}", redacted(text)))
        .collect();
    assert!(changed.is_empty(), "{}", changed.join("\n"));
}
