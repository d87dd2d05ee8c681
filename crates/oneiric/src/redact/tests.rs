#![allow(clippy::unwrap_used)]

use serde_json::{Map, Value, json};

use super::*;

mod beside;
mod block;
mod data;
mod encoded;
mod forms;
mod generated;
mod harmless;
mod hostile;
mod languages;
mod programs;
mod views;
mod wrapped;
mod written;

/// Examples are written with `~` inside their prefixes, so that no scanner takes this file for a leak.
fn plain(example: &str) -> String {
    example.replace('~', "")
}

fn redacted(text: &str) -> String {
    Redactor::standard().text(text).into_owned()
}

/// Text, the secret in it, and the kind it is called.
const SECRETS: &[(&str, &str, &str)] = &[
    // By their own shape.
    ("export AWS_ACCESS_KEY_ID=AK~IAIOSFODNN7EXAMPLE", "AK~IAIOSFODNN7EXAMPLE", "aws-key"),
    ("aws sts: AS~IAQWERTYUIOP123456 ok", "AS~IAQWERTYUIOP123456", "aws-key"),
    (
        "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "api-key",
    ),
    ("here: wJalrXUtnFEMI/K7MDENG/bPxRfiCYEX4MPL3K3Y.", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEX4MPL3K3Y", "high-entropy"),
    (
        "git clone https://gh~p_16C7e42F292c6912E7710c838347Ae178B4a@github.com/a/b",
        "gh~p_16C7e42F292c6912E7710c838347Ae178B4a",
        "password",
    ),
    (
        "gh auth login --with-token gh~o_16C7e42F292c6912E7710c838347Ae178B4a",
        "gh~o_16C7e42F292c6912E7710c838347Ae178B4a",
        "token",
    ),
    ("x gh~s_16C7e42F292c6912E7710c838347Ae178B4a y", "gh~s_16C7e42F292c6912E7710c838347Ae178B4a", "github-token"),
    (
        "git~hub_pat_11ABCDEFG0aBcDeFgHiJkL_mNoPqRsTuVwXyZ0123456789",
        "git~hub_pat_11ABCDEFG0aBcDeFgHiJkL_mNoPqRsTuVwXyZ0123456789",
        "github-token",
    ),
    ("cut off: gh~p_16C7e42F292c6912E7", "gh~p_16C7e42F292c6912E7", "github-token"),
    ("\\ngh~p_16C7e42F292c6912E7710c838347Ae178B4a\\n", "gh~p_16C7e42F292c6912E7710c838347Ae178B4a", "github-token"),
    ("gl~pat-Zx8vKq2LmN4pRs6TuWyA", "gl~pat-Zx8vKq2LmN4pRs6TuWyA", "gitlab-token"),
    (
        "xo~xb-123456789012-1234567890123-abcdefghijklmnopqrstuvwx",
        "xo~xb-123456789012-1234567890123-abcdefghijklmnopqrstuvwx",
        "slack-token",
    ),
    (
        "https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXabcd1234",
        "T00000000/B00000000/XXXXXXXXXXXXabcd1234",
        "webhook",
    ),
    ("stripe sk_li~ve_4eC39HqLyjWDarjtT1zdp7dc", "sk_li~ve_4eC39HqLyjWDarjtT1zdp7dc", "stripe-key"),
    ("rk_li~ve_4eC39HqLyjWDarjtT1zdp7dc", "rk_li~ve_4eC39HqLyjWDarjtT1zdp7dc", "stripe-key"),
    ("key is sk~-proj-abc123DEF456ghi789JKL012mno345", "sk~-proj-abc123DEF456ghi789JKL012mno345", "openai-key"),
    (
        "sk~-abcdefghijklmnopqrst1234567890ABCDEFGHIJKLMN",
        "sk~-abcdefghijklmnopqrst1234567890ABCDEFGHIJKLMN",
        "openai-key",
    ),
    ("sk~-ant-api03-AbCdEf123456_gHiJkL-789", "sk~-ant-api03-AbCdEf123456_gHiJkL-789", "anthropic-key"),
    ("?key=AI~zaSyD4x9Kq2LmN4pRs6TuWyA1bC3dE5fG7hI9&x=1", "AI~zaSyD4x9Kq2LmN4pRs6TuWyA1bC3dE5fG7hI9", "google-key"),
    ("npm~_abcdefghijklmnopqrstuvwxyz0123456789", "npm~_abcdefghijklmnopqrstuvwxyz0123456789", "npm-token"),
    (
        "pypi~-AgEIcHlwaS5vcmcCJDEyMzQ1Njc4LTEyMzQtMTIzNC0xMjM0LTEyMzQ1Njc4OTBhYg",
        "pypi~-AgEIcHlwaS5vcmcCJDEyMzQ1Njc4LTEyMzQtMTIzNC0xMjM0LTEyMzQ1Njc4OTBhYg",
        "pypi-token",
    ),
    ("hf~_aBcDeFgHiJkLmNoPqRsTuVwXyZ012345", "hf~_aBcDeFgHiJkLmNoPqRsTuVwXyZ012345", "huggingface-token"),
    (
        "jwt ey~JhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
        "dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
        "jwt",
    ),
    ("cut ey~JhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0", "eyJzdWIiOiIxMjM0NTY3ODkwIn0", "jwt"),
    (
        "SG~.ngeVfQFYQlKU0ufo8x5d1A.TwL2iGABf9DHoTf-09kqeF8tAmbihYzrnopKc-1s5cr",
        "TwL2iGABf9DHoTf-09kqeF8tAmbihYzrnopKc-1s5cr",
        "sendgrid-key",
    ),
    ("twilio SK~0123456789abcdef0123456789abcdef", "SK~0123456789abcdef0123456789abcdef", "twilio-key"),
    (
        "dop~_v1_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "digitalocean-token",
    ),
    ("dapi~0123456789abcdef0123456789abcdef", "dapi~0123456789abcdef0123456789abcdef", "databricks-token"),
    ("hvs~.CAESIJ1234abcdEFGH5678ijkl", "hvs~.CAESIJ1234abcdEFGH5678ijkl", "vault-token"),
    ("shp~at_0123456789abcdef0123456789abcdef", "shp~at_0123456789abcdef0123456789abcdef", "shopify-token"),
    ("dp~.pt.abcdefghijklmnopqrstuvwxyz01234567890123", "abcdefghijklmnopqrstuvwxyz01234567890123", "doppler-token"),
    (
        "lin~_api_abcdefghijklmnopqrstuvwxyz0123456789ABCD",
        "lin~_api_abcdefghijklmnopqrstuvwxyz0123456789ABCD",
        "linear-key",
    ),
    ("dckr~_pat_aBc-1234567890_dEfGhIjKlMn", "dckr~_pat_aBc-1234567890_dEfGhIjKlMn", "docker-token"),
    (
        "AGE-SECRET~-KEY-1QYQSZQGPQYQSZQGPQYQSZQGPQYQSZQGPQYQSZQGPQYQSZQGPQYQS3SK7LA",
        "1QYQSZQGPQYQSZQGPQYQSZQGPQYQSZQGPQYQSZQGPQYQSZQGPQYQS3SK7LA",
        "age-key",
    ),
    (
        "bot 123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw9 up",
        "123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw9",
        "high-entropy",
    ),
    (
        "https://discord.com/api/webhooks/123456789012345678/aBcDeFgHiJkLmNoPqRsTuVwXyZ",
        "aBcDeFgHiJkLmNoPqRsTuVwXyZ",
        "webhook",
    ),
    (
        "discord MTE4NjYyNzk5.GhZk3a.Xq7Lw9vT2kR8mB4nP6sJ1dF5hY0cA3eG7uI",
        "Xq7Lw9vT2kR8mB4nP6sJ1dF5hY0cA3eG7uI",
        "high-entropy",
    ),
    // Key blocks.
    (
        "a\n-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA75\nabcd==\n-----END RSA PRIVATE KEY-----\nb",
        "MIIEpAIBAAKCAQEA75\nabcd==",
        "private-key",
    ),
    (
        "-----BEGIN OPENSSH PRIVATE KEY-----\\nb3BlbnNzaC1rZXktdjEA\\n-----END OPENSSH PRIVATE KEY-----\\n",
        "b3BlbnNzaC1rZXktdjEA",
        "private-key",
    ),
    ("-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg\ncut off he", "MIIEvQIBADANBg", "private-key"),
    ("MIIEvQIBADANBg\nkqhkiG9w0BAQEFAASCBKcw\n-----END PRIVATE KEY-----", "kqhkiG9w0BAQEFAASCBKcw", "private-key"),
    (
        "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nlQdGBF\n=abcd\n-----END PGP PRIVATE KEY BLOCK-----",
        "lQdGBF",
        "private-key",
    ),
    // By what stands around them.
    ("curl -H 'Authorization: Bearer abcdef123456' https://x", "abcdef123456", "authorization"),
    ("curl -H \"Authorization: Basic dXNlcjpwYXNz\" x", "dXNlcjpwYXNz", "authorization"),
    ("Authorization: token 0123abcd", "0123abcd", "authorization"),
    ("{\"Authorization\": \"Bearer opaque-token-value-1\"}", "opaque-token-value-1", "authorization"),
    ("headers={'Authorization': 'Bearer ' + 'x'} Bearer s3cr3tt0k3n", "s3cr3tt0k3n", "bearer-token"),
    ("proxy: Basic dXNlcjpwYXNzd29yZA==", "dXNlcjpwYXNzd29yZA==", "basic-auth"),
    ("psql postgres://ada:hunter2@localhost:5432/db?sslmode=verify-full", "hunter2", "password"),
    ("redis://:p%40ss@cache:6379/0", "p%40ss", "password"),
    ("amqp://user:pa:ss@wd@host/vhost", "pa:ss@wd", "password"),
    ("curl -u ada:hunter2 https://x", "hunter2", "password"),
    ("curl -s --user 'ada:hunter two' https://x", "hunter two", "password"),
    ("curl -uada:hunter2 https://x", "hunter2", "password"),
    ("sshpass -p hunter2 ssh host", "hunter2", "password"),
    ("sshpass -p'hunter2' ssh host", "hunter2", "password"),
    ("mysql -u root -phunter2 db", "hunter2", "password"),
    ("sudo /usr/bin/mysqldump -phunter2 --all", "hunter2", "password"),
    ("docker login -u ada -p hunter2 registry.example.org", "hunter2", "password"),
    ("redis-cli -h x -a hunter2 ping", "hunter2", "password"),
    ("smbclient -U 'ada%hunter2' //h/s", "hunter2", "password"),
    ("ldapsearch -D cn=x -w hunter2", "hunter2", "password"),
    // By their names.
    ("password=hunter2", "hunter2", "password"),
    ("PASSWORD: hunter2", "hunter2", "password"),
    ("export DB_PASSWORD='hunter two'", "hunter two", "password"),
    ("DB_PASSWORD=p@ss,w&o;rd#1", "p@ss,w&o;rd#1", "password"),
    ("PGPASSWORD=hunter2 psql -h x", "hunter2", "password"),
    ("tool --password hunter2 --verbose", "hunter2", "password"),
    ("tool --password=hunter2", "hunter2", "password"),
    ("mahout --admin-password \"hunter2\"", "hunter2", "password"),
    ("{\"password\":\"hunter2\",\"a\":1}", "hunter2", "password"),
    ("{\"password\": \"hun\\\"ter2\"}", "hun\\\"ter2", "password"),
    ("{\\\"password\\\": \\\"hunter2\\\"}", "hunter2", "password"),
    ("{\"args\":\"{\\\"db_password\\\":\\\"hunter2\\\"}\"}", "hunter2", "password"),
    ("db:\n  password: hunter2\n  port: 1", "hunter2", "password"),
    ("db:\n  password: |\n    hunter2\n    more\n  port: 1", "hunter2", "password"),
    ("connect(user=\"a\", password=\"hunter2\", port=1)", "hunter2", "password"),
    ("connect(user='a', password='hunter2')", "hunter2", "password"),
    ("password = hunter2", "hunter2", "password"),
    ("password: str = \"hunter2\"", "hunter2", "password"),
    ("let db_password: &str = \"hunter2\";", "hunter2", "password"),
    ("os.environ[\"DB_PASSWORD\"] = \"hunter2\"", "hunter2", "password"),
    ("Server=h;User Id=sa;Password=hunter2;Encrypt=true", "hunter2", "password"),
    ("Server=h;Uid=sa;Pwd=hunter2;", "hunter2", "password"),
    ("CREATE USER u WITH PASSWORD 'secure-password';", "secure-password", "password"),
    ("ALTER USER u IDENTIFIED BY 'hunter2'", "hunter2", "password"),
    ("machine h login ada password hunter2", "hunter2", "password"),
    ("ENV DB_PASSWORD hunter2", "hunter2", "password"),
    ("requirepass hunter2", "hunter2", "password"),
    ("<password>hunter2</password>", "hunter2", "password"),
    ("${DB_PASSWORD:-hunter2}", "hunter2", "password"),
    ("https://x/login?user=a&password=hunter2&next=/", "hunter2", "password"),
    ("password%3Dhunter2", "hunter2", "password"),
    ("line one\\npassword=hunter2", "hunter2", "password"),
    ("Пароль: нет, password: пароль1 да", "пароль1", "password"),
    ("echo api_key=abc123", "abc123", "api-key"),
    ("X-Api-Key: abc123def", "abc123def", "api-key"),
    ("curl -H 'X-Api-Key: abc123def' x", "abc123def", "api-key"),
    (
        "AccountName=a;AccountKey=Zm9vYmFyYmF6cXV4MTIzNDU2Nzg5MA==;EndpointSuffix=x",
        "Zm9vYmFyYmF6cXV4MTIzNDU2Nzg5MA==",
        "api-key",
    ),
    ("Endpoint=sb://x/;SharedAccessKeyName=n;SharedAccessKey=abc123+/=", "abc123+/=", "api-key"),
    ("client_secret: 8Q~abcdef", "8Q~abcdef", "secret"),
    ("APP_SECRET=change-me-in-production", "change-me-in-production", "secret"),
    ("SECRET_KEY_BASE=0123456789abcdef0123456789abcdef", "0123456789abcdef0123456789abcdef", "api-key"),
    ("GITHUB_TOKEN=0123456789abcdef", "0123456789abcdef", "token"),
    ("//registry.npmjs.org/:_authToken=abc-def-1", "abc-def-1", "token"),
    ("list-repos --token abcdef", "abcdef", "token"),
    ("{\"access_token\":\"abcdef\"}", "abcdef", "token"),
    ("https://x.blob/?sv=2020&sig=aBcDeFgHiJ1234567890%3D", "aBcDeFgHiJ1234567890%3D", "token"),
    ("Set-Cookie: sid=abc123; Path=/; HttpOnly", "sid=abc123; Path=/; HttpOnly", "cookie"),
    ("api_key:\n  abc123def\nport: 1", "abc123def", "api-key"),
    ("{\n  \"api_key\":\n    \"abc123def\",\n  \"port\": 1\n}", "abc123def", "api-key"),
    ("db:\n  password:\n    hunter2\n  port: 1", "hunter2", "password"),
    ("PASSWORD=\"hunter1\nhunter2\"\nls", "hunter1\nhunter2", "password"),
    ("export DB_PASSWORD='one two\nhunter2\nthree'; ls", "hunter2\nthree", "password"),
    // By where they go.
    ("echo hunter2 | docker login -u ada --password-stdin", "hunter2", "password"),
    ("cd /x && echo -n 'hunter two' | docker login --password-stdin reg", "hunter two", "password"),
    ("printf '%s\\n' \"hunter2\" | podman login --password-stdin", "hunter2", "password"),
    ("printf hunter2|gh auth login --with-token", "hunter2", "password"),
    ("bash -c \"echo hunter2 | sudo -S apt install x\"", "hunter2", "password"),
    ("echo aHVudGVyMg | base64 -d | docker login --password-stdin", "aHVudGVyMg", "password"),
    ("echo 'ada:hunter2' | sudo chpasswd", "hunter2", "password"),
    ("sudo -S ls <<< hunter2", "hunter2", "password"),
    ("docker login -u a --password-stdin <<<\"hunter two\" && ls", "hunter two", "password"),
    ("echo 'hun|ter2' | gpg --batch --passphrase-fd 0 -d x", "hun|ter2", "password"),
    // By their randomness alone.
    ("echo fX3dU0p7Q_8mZ-1rT5yB6nC2vK9sLwEhJgAoIqRtYxM", "fX3dU0p7Q_8mZ-1rT5yB6nC2vK9sLwEhJgAoIqRtYxM", "high-entropy"),
    ("it is \"q8Xz4LmT9vKw2RbN6pYc\" ok", "q8Xz4LmT9vKw2RbN6pYc", "high-entropy"),
    ("aZ3kQ9xW7vB1nM5tR8yU2iO4pL6jH0gF", "aZ3kQ9xW7vB1nM5tR8yU2iO4pL6jH0gF", "high-entropy"),
    ("https://x/cb?c=aZ3kQ9xW7vB1nM5tR8yU2iO4pL6jH0gF", "aZ3kQ9xW7vB1nM5tR8yU2iO4pL6jH0gF", "high-entropy"),
    ("h3k9x2m7q4w8z1v6b5n0r7t2y9p4", "h3k9x2m7q4w8z1v6b5n0r7t2y9p4", "high-entropy"),
];

#[test]
fn every_kind_of_secret_is_taken_out() {
    let mut missed = Vec::new();
    for (text, secret, kind) in SECRETS {
        let (text, secret) = (plain(text), plain(secret));
        let out = redacted(&text);
        if out.contains(&secret) || !out.contains(&format!("[redacted:{kind}]")) {
            missed.push(format!("{text:?} became {out:?}, wanted {kind}"));
        }
    }
    assert!(SECRETS.len() >= 60);
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn what_stands_around_a_secret_stays() {
    for (text, out) in [
        ("PGPASSWORD=hunter2 psql -h db", "PGPASSWORD=[redacted:password] psql -h db"),
        ("curl -u ada:hunter2 https://x/y", "curl -u ada:[redacted:password] https://x/y"),
        ("{\"password\":\"hunter2\",\"port\":5432}", "{\"password\":\"[redacted:password]\",\"port\":5432}"),
        ("db: postgres://ada:hunter2@localhost/x", "db: postgres://ada:[redacted:password]@localhost/x"),
        ("-H 'Authorization: Bearer abcdef123456' -v", "-H 'Authorization: Bearer [redacted:authorization]' -v"),
        ("connect(password='hunter2', port=1)", "connect(password='[redacted:password]', port=1)"),
        ("  password: hunter2\n  port: 1\n", "  password: [redacted:password]\n  port: 1\n"),
        ("mysql -phunter2 -h db; ls", "mysql -p[redacted:password] -h db; ls"),
        ("a=1 password=x1 b=2", "a=1 password=[redacted:password] b=2"),
        ("echo -n x1 | docker login --password-stdin", "echo -n [redacted:password] | docker login --password-stdin"),
        ("echo 'ada:x1' | chpasswd -e; ls", "echo 'ada:[redacted:password]' | chpasswd -e; ls"),
        ("api_key:\n  abc123\nport: 1", "api_key:\n  [redacted:api-key]\nport: 1"),
        ("P_PASSWORD='a\nb'\nnext 'line'", "P_PASSWORD='[redacted:password]'\nnext 'line'"),
        ("password: 'tis a word\nI don't know", "password: '[redacted:password]\nI don't know"),
    ] {
        assert_eq!(redacted(text), out);
    }
}

/// What developers write and see all day.
const HARMLESS: &[&str] = &[
    "git checkout 3f786850e387550fdab836ed7e6dc881de23001b",
    "commit 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "HEAD is now at b85d2ba workspace: crates in their places",
    "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "nginx@sha256:4c1c50d0ffc614f90b93b07d778028dc765548e823f676fb027f61d281ac380d",
    "550e8400-e29b-41d4-a716-446655440000",
    "session 019ab3f2-7c1e-7d3a-9b2f-1c2d3e4f5a6b started",
    "/nix/store/3n58xw4373jp0ljirf06d8077j15pc4j-glibc-2.37-8/lib/ld-linux-x86-64.so.2",
    "/home/ada/src/github.com/SomeCompany/InternalTools/cmd/server/main_test.go",
    "target/debug/deps/libserde_derive-8c1a2b3c4d5e6f70.so",
    "~/.cargo/registry/src/index.crates.io-1949cf8c6b5b557f/regex-automata-0.4.19/src/hybrid/dfa.rs",
    "C:\\Users\\Ada\\AppData\\Local\\Programs\\Python\\Python311\\python.exe",
    "src/main/java/com/example/AbstractSingletonProxyFactoryBean.java",
    "thisIsAVeryLongCamelCaseIdentifierNameForTesting",
    "AbstractAnnotationConfigDispatcherServletInitializer",
    "a_very_long_snake_case_function_name_that_goes_on_and_on",
    "SCREAMING_SNAKE_CASE_CONSTANT_WITH_MANY_WORDS_2",
    "test_that_the_parser_handles_utf8_and_utf16_input_correctly",
    "https://github.com/rust-lang/rust/blob/3f786850e387550fdab836ed7e6dc881de23001b/library/std/src/lib.rs#L10",
    "https://docs.google.com/document/d/1BxiMVs0XRA5nFMdKvBdBZjgmUUqptlbs74OgvE2upms/edit",
    "https://crates.io/api/v1/crates/serde/1.0.228/download",
    "git@github.com:rust-lang/cargo.git",
    "ssh://git@github.com/rust-lang/cargo.git",
    "docker run --rm -it -p 8080:80 -v /srv:/srv ghcr.io/owner/image:v1.2.3-alpine",
    "kubectl get pods nginx-deployment-66b6c48dd5-7vx2k -n kube-system",
    "curl -fsSL https://sh.rustup.rs -o rustup.sh",
    "curl -u $USER:$PASS https://x",
    "cargo test -p session-store --all-features -- --nocapture",
    "mysql -u root -p mydb",
    "mysql -h db -P 3306 -u root",
    "psql -h localhost -p 5432 -U postgres",
    "mkdir -p /tmp/passwords/secrets/tokens",
    "cat ~/my_password.txt | docker login --username foo --password-stdin",
    "echo $CR_PAT | docker login ghcr.io -u USERNAME --password-stdin",
    "echo \"${TOKEN}\" | gh auth login --with-token",
    "docker login --password-stdin < ~/pw",
    "echo done | tee log; sudo -s",
    "secrets:\n  - name\ntokens:\n  type: x\n",
    "password:\n  type: string\n  format: password",
    "properties:\n  token:\n    $ref: '#/x'\n",
    "{\n  \"password\":\n    {\"minimum\": 8}\n}",
    "token:\nnothing further in",
    "cp -pr key.pem other.pem",
    "ssh-keygen -t ed25519 -f ~/.ssh/id_ed25519",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl ada@host",
    "SHA256:uNiVztksCsDhcc0u9e8BgrJXVGDkFUNuYPKvDCGGGBA ada@host",
    "\"integrity\": \"sha512-MJ7MSJwS2utMxA9QyLL9kBWOTMqSYuJjQqKGjzPZB1Jy4ZzcGWrkHeiZGKqWbfM3lgyBXkJHnDVUgSUtcUmZ0g==\"",
    "golang.org/x/text v0.3.7 h1:olpwvP2KacW1ZWvsR7uQhoyTYvKAupfQrRGBFM352Gk=",
    "token_count=1200 max_tokens=4096 tokens: 17",
    "unexpected token: identifier at line 3",
    "let token = lexer.next_token();",
    "fn verify(token: &str, secret: &Secret) -> Result<Claims>",
    "def login(user: str, password: str) -> bool:",
    "password = os.environ[\"DB_PASSWORD\"]",
    "password=self.password, token=args.token",
    "const { password } = req.body;",
    "if (!password) return;",
    "export DB_PASSWORD=$(pass show db)",
    "export EDITOR=vim; pass show work/mail",
    "export TOKEN=\"$GITHUB_TOKEN\"",
    "password: ${DB_PASSWORD}",
    "password: {{ vault.db }}",
    "password: <your password>",
    "password: ********",
    "password_file: /run/secrets/db",
    "secret_name: my-app/db",
    "private_key: /etc/ssl/private/server.key",
    "Forgot your password? Reset the password here.",
    "the secret of success, the key to it all, and a token of thanks",
    "author: Ada; monkey: 1; keyboard: us; compass: north",
    "PWD=/home/ada/work OLDPWD=/tmp",
    "tests passed: 12, pass: 12 fail: 0",
    "test result: ok. 22 passed; 0 failed; 0 ignored; finished in 1.63s",
    "HTTP/1.1 401 Unauthorized WWW-Authenticate: Basic realm=\"x\"",
    "basic usage of the bearer of good news",
    "_ZN4core3ptr85drop_in_place17h05af221e174051e9E",
    "rustc 1.95.0-nightly (abc123def 2026-11-20) x86_64-unknown-linux-gnu",
    "org.apache.maven.plugins:maven-surefire-plugin:3.0.0-M5",
    "2026-11-22T18:09:36.123456Z INFO request_id=01ARZ3NDEKTSV4RRFFQ69G5FAV",
    "SGVsbG8gd29ybGQsIHRoaXMgaXMgcGxhaW4gdGV4dA==",
    "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWKPV5t",
    "0x0DDB1A5E5BAD5EEDDEADBEEFCAFEBABE",
    "for i in range(10): print(f'{i:>3}')",
    "ps(); top(); errors(10); sync()",
    "%repos backend",
    "sk-learn-contrib-something-package-name",
    "npm_config_registry=https://registry.npmjs.org/",
    "AKIAfoo is no key",
    "key=value; primary_key=id; public_key=abc; cache_key=users/1",
    "-----BEGIN CERTIFICATE-----\nMIIDdzCCAl+gAwIBAgIEAgAAuTANBgkqhkiG9w0BAQUFADBaMQswCQYDVQQGEwJJ\n-----END CERTIFICATE-----",
    "Co-Authored-By: Ada Lovelace <ada@example.org>",
    "ls -la --color=auto | grep -E '^d' && echo done",
    "東京都の天気は晴れです。パスワードは秘密。",
];

#[test]
fn what_developers_see_all_day_is_left_alone() {
    let changed: Vec<String> = HARMLESS
        .iter()
        .filter_map(|text| match Redactor::standard().text(text) {
            Cow::Borrowed(_) => None,
            Cow::Owned(out) => Some(format!("{text:?} became {out:?}")),
        })
        .collect();
    assert!(HARMLESS.len() >= 60);
    assert!(changed.is_empty(), "{}", changed.join("\n"));
}

#[test]
fn a_second_redaction_changes_nothing() {
    for (text, ..) in SECRETS {
        let once = redacted(&plain(text));
        assert_eq!(Redactor::standard().counted(&once), (Cow::Borrowed(once.as_str()), 0));
    }
}

#[test]
fn secrets_in_json_are_found_by_content_and_by_key_at_any_depth() {
    let token = plain("gh~p_16C7e42F292c6912E7710c838347Ae178B4a");
    let mut value = json!({
        "command": format!("export T={token}"),
        "deep": [{"env": {"DB_PASSWORD": "hunter2", "HOME": "/home/ada", "token_count": 5, "max_tokens": "many"}}],
        "password": 123456,
        "passwords": ["one1", "two2"],
        "token": "abc",
        "cookie": "",
        "api_key": "$API_KEY",
        "secret": true,
        "credentials": {"user": "ada", "private_key": "k1"},
        "env": [{"name": "API_TOKEN", "value": "abc"}, {"name": "PLAIN", "value": "abc"}],
        token.clone(): 1,
    });
    let count = Redactor::standard().value(&mut value);
    assert_eq!(
        value,
        json!({
            "command": "export T=[redacted:github-token]",
            "deep": [{"env": {
                "DB_PASSWORD": "[redacted:password]", "HOME": "/home/ada", "token_count": 5, "max_tokens": "many",
            }}],
            "password": "[redacted:password]",
            "passwords": ["[redacted:password]", "[redacted:password]"],
            "token": "[redacted:token]",
            "cookie": "",
            "api_key": "$API_KEY",
            "secret": true,
            "credentials": {"user": "ada", "private_key": "[redacted:api-key]"},
            "env": [{"name": "API_TOKEN", "value": "[redacted:token]"}, {"name": "PLAIN", "value": "abc"}],
            "[redacted:github-token]": 1,
        })
    );
    assert_eq!(count, 9);
    assert_eq!(Redactor::standard().value(&mut value), 0);
}

#[test]
fn several_secrets_are_counted_each() {
    let text = "password=a1b2c3 and api_key=d4e5f6 at https://u:pw@h/";
    assert_eq!(Redactor::standard().counted(text).1, 3);
}

#[test]
fn ids_with_a_token_are_told_from_all_others() {
    let redactor = Redactor::standard();
    let token = plain("gh~p_16C7e42F292c6912E7710c838347Ae178B4a");
    for id in [&token, &format!("run:{token}"), &plain("codex-AK~IAIOSFODNN7EXAMPLE")] {
        assert!(redactor.holds_token(id), "{id}");
    }
    for id in [
        "550e8400-e29b-41d4-a716-446655440000",
        "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "codex-2026-11-22T18:09:36",
        "aZ3kQ9xW7vB1nM5tR8yU2iO4pL6jH0gF",
        "key-0123456789abcdef0123456789abcdef",
        "token:password-1",
        "abc123",
    ] {
        assert!(!redactor.holds_token(id), "{id}");
    }
}
