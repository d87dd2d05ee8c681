//! The forms in which a secret is written down: how each comes out, and what only looks like one of them.

use super::*;

/// Text, and what is left of it.
const FORMS: &[(&str, &str)] = &[
    ("set password hunter", "set password [redacted:password]"),
    ("set -gx DB_PASSWORD hunter and more", "set -gx DB_PASSWORD [redacted:password] and more"),
    ("set password hunter22 # for staging", "set password [redacted:password] # for staging"),
    // Short options in one word.
    ("curl -su ada:Vk01pass! https://x", "curl -su ada:[redacted:password] https://x"),
    ("curl -X POST -vku 'ada:Vk01pass!' x", "curl -X POST -vku 'ada:[redacted:password]' x"),
    ("zip -rP Vk01pass! x.zip y", "zip -rP [redacted:password] x.zip y"),
    ("ldapadd -x -wVk01pass! -f x", "ldapadd -x -w[redacted:password] -f x"),
    ("mongodump -u ada -pVk01pass!", "mongodump -u ada -p[redacted:password]"),
    ("C:\\Windows\\curl.exe -u ada:Vk01pass! x", "C:\\Windows\\curl.exe -u ada:[redacted:password] x"),
    ("{\"s\":\"set -e\\nmysql -uroot -pVk01pass! db\"}", "{\"s\":\"set -e\\nmysql -uroot -p[redacted:password] db\"}"),
    // Markdown.
    ("**Password:** Vk04pass!", "**Password:** [redacted:password]"),
    ("**password**: correcthorse", "**password**: [redacted:password]"),
    ("| DB_PASSWORD | Vk04pass! |", "| DB_PASSWORD | [redacted:password] |"),
    ("`DB_PASSWORD`: Vk04pass!", "`DB_PASSWORD`: [redacted:password]"),
    ("password：Vk04pass!", "password：[redacted:password]"),
    // Names of several words.
    ("API key: vk06abc123", "API key: [redacted:api-key]"),
    ("Api Key = vk06abc123", "Api Key = [redacted:api-key]"),
    ("Secret Access Key: vk06abc123", "Secret Access Key: [redacted:api-key]"),
    ("the access key: vk06abc123", "the access key: [redacted:api-key]"),
    ("the api key is vk06abc123.", "the api key is [redacted:api-key]."),
    ("curl 'https://x/?key=vk06abc123&x=1'", "curl 'https://x/?key=[redacted:api-key]&x=1'"),
    // Sentences.
    ("The password is Vk05pass!", "The password is [redacted:password]"),
    ("password is \"Vk05pass!\".", "password is \"[redacted:password]\"."),
    ("use password Vk05pass! for staging", "use password [redacted:password] for staging"),
    ("password for prod: Vk05pass!", "password for prod: [redacted:password]"),
    ("Password (prod): Vk05pass!", "Password (prod): [redacted:password]"),
    ("db password -> Vk05pass!", "db password -> [redacted:password]"),
    ("password → Vk05pass!", "password → [redacted:password]"),
    ("SET PASSWORD FOR ada = 'Vk05pass!'", "SET PASSWORD FOR ada = '[redacted:password]'"),
    // Lines that go on.
    ("mytool --password \\\n  Vk07pass!", "mytool --password \\\n  [redacted:password]"),
    ("mytool --token \\\n  abcdef \\\n  --x", "mytool --token \\\n  [redacted:token] \\\n  --x"),
    ("export DB_PASSWORD=\\\nVk07pass!", "export DB_PASSWORD=\\\n[redacted:password]"),
    ("curl -u \\\n  ada:Vk07pass! https://x", "curl -u \\\n  ada:[redacted:password] https://x"),
    ("curl -s ^\r\n -u ada:Vk07pass! https://x", "curl -s ^\r\n -u ada:[redacted:password] https://x"),
    ("@{ Password = `\n 'Vk07pass!' }", "@{ Password = `\n '[redacted:password]' }"),
    ("const password =\n  'Vk07pass!';", "const password =\n  '[redacted:password]';"),
    // Names beside their values.
    ("run([\"tool\",\"--password\",\"Vk14pass!\"])", "run([\"tool\",\"--password\",\"[redacted:password]\"])"),
    (
        "CMD [\"redis-server\", \"--requirepass\", \"x1\"]",
        "CMD [\"redis-server\", \"--requirepass\", \"[redacted:password]\"]",
    ),
    (
        "\"args\": [\n  \"--api-key\",\n  \"abc123def456\"\n]",
        "\"args\": [\n  \"--api-key\",\n  \"[redacted:api-key]\"\n]",
    ),
    (
        "[Environment]::SetEnvironmentVariable('DB_PASSWORD','Vk13pass!','User')",
        "[Environment]::SetEnvironmentVariable('DB_PASSWORD','[redacted:password]','User')",
    ),
    ("os.getenv('DB_PASSWORD', 'correcthorse')", "os.getenv('DB_PASSWORD', '[redacted:password]')"),
    ("setenv(\"DB_PASSWORD\", \"correcthorse\", 1)", "setenv(\"DB_PASSWORD\", \"[redacted:password]\", 1)"),
    ("define('DB_PASSWORD','x1y2');", "define('DB_PASSWORD','[redacted:password]');"),
    ("headers.set(\"X-Api-Key\", \"abc123def456\")", "headers.set(\"X-Api-Key\", \"[redacted:api-key]\")"),
    ("const key = process.env.API_KEY || 'abcdef'", "const key = process.env.API_KEY || '[redacted:api-key]'"),
    ("process.env.API_KEY ?? 'abcdef'", "process.env.API_KEY ?? '[redacted:api-key]'"),
    ("- name: DB_PASSWORD\n  value: Vk02pass!", "- name: DB_PASSWORD\n  value: [redacted:password]"),
    ("  - name: API_TOKEN\n    value: \"abc\"\n", "  - name: API_TOKEN\n    value: \"abc\"\n"),
    ("  - name: API_TOKEN\n    value: \"abcd\"\n", "  - name: API_TOKEN\n    value: \"[redacted:token]\"\n"),
    (
        "{\"name\": \"DB_PASSWORD\", \"value\": \"x1\"}",
        "{\"name\": \"DB_PASSWORD\", \"value\": \"[redacted:password]\"}",
    ),
    ("{\"Name\":\"DB_PASSWORD\",\"Value\":\"x1\"}", "{\"Name\":\"DB_PASSWORD\",\"Value\":\"[redacted:password]\"}"),
    (
        "{\\\"name\\\":\\\"DB_PASSWORD\\\",\\\"value\\\":\\\"x1\\\"}",
        "{\\\"name\\\":\\\"DB_PASSWORD\\\",\\\"value\\\":\\\"[redacted:password]\\\"}",
    ),
    ("<add key=\"ApiKey\" value=\"abc123\"/>", "<add key=\"ApiKey\" value=\"[redacted:api-key]\"/>"),
    ("<property name=\"password\" value=\"x1\"/>", "<property name=\"password\" value=\"[redacted:password]\"/>"),
    ("<property name=\"db.password\">x1</property>", "<property name=\"db.password\">[redacted:password]</property>"),
    // Programs in lists.
    ("run(['curl', '-su', 'ada:Vk14pass!', 'x'])", "run(['curl', '-su', 'ada:[redacted:password]', 'x'])"),
    ("[\"mysql\",\"-uroot\",\"-pVk14pass!\"]", "[\"mysql\",\"-uroot\",\"-p[redacted:password]\"]"),
    (
        "{\"argv\": [\"sshpass\", \"-p\", \"\", \"-p\", \"x1\"]}",
        "{\"argv\": [\"sshpass\", \"-p\", \"\", \"-p\", \"[redacted:password]\"]}",
    ),
    // `.netrc`, and tables.
    ("machine h\n  login ada\n  password correcthorse\n", "machine h\n  login ada\n  password [redacted:password]\n"),
    ("username\tada\npassword\tcorrecthorse", "username\tada\npassword\t[redacted:password]"),
    // Programs and their settings.
    ("aws configure set aws_secret_access_key abc123", "aws configure set aws_secret_access_key [redacted:api-key]"),
    ("npm config set //h/:_authToken abc123", "npm config set //h/:_authToken [redacted:token]"),
    ("dotnet user-secrets set ApiKey abc123", "dotnet user-secrets set ApiKey [redacted:api-key]"),
    ("git config --global github.token abc123", "git config --global github.token [redacted:token]"),
    ("pulumi config set --secret dbPassword x1", "pulumi config set --secret dbPassword [redacted:password]"),
    ("gh secret set DB_PASSWORD --body Vk17pass!", "gh secret set DB_PASSWORD --body [redacted:password]"),
    ("aws ssm put-parameter --name /db/p --value x1", "aws ssm put-parameter --name /db/p --value [redacted:password]"),
    ("az keyvault secret set --name db --value x1", "az keyvault secret set --name db --value [redacted:password]"),
    ("htpasswd -nb ada correcthorse", "htpasswd -nb ada [redacted:password]"),
    ("htpasswd -cb .htpasswd ada 'x1' && ls", "htpasswd -cb .htpasswd ada '[redacted:password]' && ls"),
    ("openssl passwd -6 correcthorse", "openssl passwd -6 [redacted:password]"),
    ("openssl rsa -in k -passin pass:correcthorse", "openssl rsa -in k -passin pass:[redacted:password]"),
    ("ssh-keygen -t rsa -N x1 -f k", "ssh-keygen -t rsa -N [redacted:password] -f k"),
    (
        "keytool -storepass changeit -keypass x123",
        "keytool -storepass [redacted:password] -keypass [redacted:password]",
    ),
    ("mysqladmin -u root password correcthorse", "mysqladmin -u root password [redacted:password]"),
    ("twine upload -u a -p x1 dist/*", "twine upload -u a -p [redacted:password] dist/*"),
    ("cargo login abc123def456", "cargo login [redacted:password]"),
    ("rabbitmqctl add_user ada Vk12pass!", "rabbitmqctl add_user ada [redacted:password]"),
    ("sqlplus -s ada/x1@orcl", "sqlplus -s ada/[redacted:password]@orcl"),
    ("net user ada Vk12pass! /add", "net user ada [redacted:password] /add"),
    ("redis-cli AUTH x1", "redis-cli AUTH [redacted:password]"),
    ("curl -b sessionid=abc123 x", "curl -b sessionid=[redacted:password] x"),
    (
        "$password = ConvertTo-SecureString 'x1' -AsPlainText -Force",
        "$password = ConvertTo-SecureString '[redacted:password]' -AsPlainText -Force",
    ),
    // By where they go.
    (
        "docker login -u a --password-stdin <<EOF\nVk15pass!\nEOF\nls",
        "docker login -u a --password-stdin <<EOF\n[redacted:password]\nEOF\nls",
    ),
    ("sudo chpasswd <<'EOF'\nada:x1\nEOF", "sudo chpasswd <<'EOF'\nada:[redacted:password]\nEOF"),
    ("echo x1 | sudo -kS ls", "echo [redacted:password] | sudo -kS ls"),
    ("echo x1 | sudo -p '' -S ls", "echo [redacted:password] | sudo -p '' -S ls"),
    ("echo x1 | sudo -u root -S ls", "echo [redacted:password] | sudo -u root -S ls"),
    ("echo -e 'x1\\nx1' | sudo passwd ada", "echo -e '[redacted:password]' | sudo passwd ada"),
    ("printf x1 | docker secret create p -", "printf [redacted:password] | docker secret create p -"),
    ("echo x1 | gh secret set NAME", "echo [redacted:password] | gh secret set NAME"),
    (
        "echo -n x1 | gcloud secrets versions add a --data-file=-",
        "echo -n [redacted:password] | gcloud secrets versions add a --data-file=-",
    ),
    // Names.
    ("PW=Vk09pass! ./deploy.sh", "PW=[redacted:password] ./deploy.sh"),
    ("db.pw=Vk09pass!", "db.pw=[redacted:password]"),
    ("SSHPASS=correcthorse sshpass -e ssh x", "SSHPASS=[redacted:password] sshpass -e ssh x"),
    ("dbpwd=Vk09pass!", "dbpwd=[redacted:password]"),
    ("PASSWORD_DB=Vk09pass!", "PASSWORD_DB=[redacted:secret]"),
    ("DB_PASSWORD_READONLY=Vk09pass!", "DB_PASSWORD_READONLY=[redacted:secret]"),
    ("TOKEN_GITHUB=abc123def456", "TOKEN_GITHUB=[redacted:secret]"),
    ("API_KEY_OPENAI=abc123def456", "API_KEY_OPENAI=[redacted:secret]"),
    ("STRIPE_KEY=abc123def456", "STRIPE_KEY=[redacted:api-key]"),
    ("GITHUB_PAT=abc123def456", "GITHUB_PAT=[redacted:token]"),
    // Values in quotes in which nothing is replaced.
    ("DB_PASSWORD='$Vk18ecret'", "DB_PASSWORD='[redacted:password]'"),
    ("{\"password\":\"$Av07pass\"}", "{\"password\":\"[redacted:password]\"}"),
    ("password: '<Vk18ecret!>'", "password: '[redacted:password]'"),
    // Values that are alone on their line.
    ("  password: Win\"ter2024!", "  password: [redacted:password]"),
    ("  password: Win&te;r|2)024!", "  password: [redacted:password]"),
    ("  password: {Winter2024!", "  password: [redacted:password]"),
    ("tool --password=Win(ter)2024!", "tool --password=[redacted:password]"),
    ("password: 'it''s Winter2024!'", "password: '[redacted:password]'"),
    ("DB_PASSWORD='it'\\''s Winter2024!' ls", "DB_PASSWORD='[redacted:password]' ls"),
    ("passphrase: correct horse battery staple # x", "passphrase: [redacted:password] # x"),
    ("DB_PWD=12345678", "DB_PWD=[redacted:password]"),
    ("%7B%22password%22%3A%22Winter%22%7D", "%7B%22password%22%3A%22[redacted:password]%22%7D"),
    // Addresses of databases.
    ("dsn := \"ada:Vk20pass!@tcp(127.0.0.1:3306)/x\"", "dsn := \"ada:[redacted:password]@tcp(127.0.0.1:3306)/x\""),
    ("jdbc:oracle:thin:ada/x1@//h:1521/x", "jdbc:oracle:thin:ada/[redacted:password]@//h:1521/x"),
    ("localhost:5432:x:ada:x1", "localhost:5432:x:ada:[redacted:password]"),
    // SQL and XML.
    (
        "ALTER USER a IDENTIFIED WITH mysql_native_password BY 'correcthorse';",
        "ALTER USER a IDENTIFIED WITH mysql_native_password BY '[redacted:password]';",
    ),
    ("ALTER USER a IDENTIFIED BY 'correcthorse'", "ALTER USER a IDENTIFIED BY '[redacted:password]'"),
    ("CREATE LOGIN a WITH PASSWORD=N'x1'", "CREATE LOGIN a WITH PASSWORD=N'[redacted:password]'"),
    ("<password encrypted=\"false\">x1</password>", "<password encrypted=\"false\">[redacted:password]</password>"),
    ("<ns:password>x1</ns:password>", "<ns:password>[redacted:password]</ns:password>"),
    ("<password>\n  x1\n</password>", "<password>\n  [redacted:password]\n</password>"),
    ("<password><![CDATA[x1]]></password>", "<password><![CDATA[[redacted:password]]]></password>"),
];

/// What looks like one of the forms and tells no secret.
const HARMLESS_FORMS: &[&str] = &[
    // What is set is a thing, not a variable.
    "set password rules for the admin page",
    "set token refresh in the client",
    "set secret rotation interval",
    "set api_key header name",
    "export password manager entries",
    // A quote that closes what was searched for.
    "grep -rn 'password=' src/ && cargo test -p shop",
    "grep -rn \"password = \" src/ | head",
    "rg 'secret:' --type yaml",
    "if line.startswith(\"password=\"): return None",
    "rg \"Authorization: Bearer\" src",
    "send it as Authorization: Bearer <token>\"))",
    // Code and settings.
    "fetch(u, {credentials: 'include'})",
    "credentials: same-origin",
    "const STORAGE_KEY = 'theme-preference';",
    "session_key = 'user_session'",
    "app_key: my-app",
    "{\"token\":\"identifier\"}",
    "semi_token: Semi,",
    "colon2_token: node.colon2_token,",
    "id-token: write",
    "let secret = match x {",
    "fn set(password: impl AsRef<[u8]>) {",
    "password: hashedPassword",
    "password == other.password",
    "existingSecret: postgres-auth",
    "PASSWORD=$1",
    "signature: rsa-sha256",
    "wrong password: try again",
    "Password: must be at least 8 characters",
    "NL80211_ATTR_SAE_PASSWORD = 277,",
    "pub const FS_IOC_ADD_ENCRYPTION_KEY: u32 = 3226494487;",
    "'password' => $request->password,",
    "$password = Read-Host -AsSecureString",
    // Programs that are others.
    "http-server -a localhost:8080",
    "azure storage login -p westeurope",
    "curl -u ada:\"$PASS\" https://x",
    "curl -sSo out:put x",
    "openssl x509 -check -in a:b",
    "curl -b cookies.txt x",
    // Sentences and tables.
    "the password is required, and the password is base64 encoded",
    "password is user-provided and 32-byte long",
    "The API key: see README",
    "api key is missing",
    "[sudo] password for ada:",
    "Enter passphrase for key '/home/ada/.ssh/id_ed25519':",
    "| token | string | the token |",
    "| password | yes |",
    "use password authentication",
    "session key: value store",
    "https://foo.bar/path?key=value%20with%20%27quotes%27",
    // Lists of names.
    "fields = [\"password\", \"username\", \"email\"]",
    "[\"API_KEY\", \"DB_PASSWORD\", \"PORT\"]",
    "validates(\"password\", \"required\")",
    "[\"--password\", \"--verbose\"]",
    "errors.password || 'Password is required'",
    "HTTP methods are \"trust\", \"md5\", \"password\", \"scram-sha-256\"",
    "'ssh2_auth_password', 'ssh2_auth_pubkey_file',",
    "Here `secret1` or `secret2` are numbers; for `password` or `salt`",
    "pass force_zip64 to use it, pass to modnames2paths:",
    "password = password[1:]",
    "self._authkey = authkey",
    "private_key: ALLOWED_PRIVATE_KEY_TYPES,",
    "def f(a: str,\n      secret: str):",
    // Fields of names.
    "- name: DB_PASSWORD\n  valueFrom: x",
    "- name: DB_PASSWORD\n  value: $(DB_PASSWORD)",
    "<input name=\"password\" value=\"\">",
    "user ada\npassword reset by the support",
    "cargo login is needed here",
    "htpasswd -B .htpasswd ada",
    "openssl passwd -6 -stdin",
    // Programs that read no secret.
    "echo x1 | sudo tee /etc/x",
    "echo x1 | sudo -u root tee -S",
    "cat <<EOF\npassword for all\nEOF",
    "echo x1 | grep -v x /etc/passwd -c",
    "docker secret create p ./file",
    // Addresses without a password.
    "jdbc:oracle:thin:@//h:1521/x",
    "docker run -p 127.0.0.1:5432:5432 postgres",
    "ada@tcp(127.0.0.1:3306)/x",
    "password: ''",
    "x = {'password': '', 'user': 'ada'}",
    // Constants about secrets.
    "PASSWORD_MIN_LENGTH=12",
    "TOKEN_PLUS = 'plus'",
    "PASSWORD_STORE=kernel2x",
    "DB_PASSWORD='$DB_PASSWORD'",
    "DB_PASSWORD=\"$db_password2\"",
    "<password-input type=\"x\">",
    "token: string|null;",
];

#[test]
fn a_secret_is_taken_out_of_every_form_and_nothing_else() {
    let wrong: Vec<String> = FORMS
        .iter()
        .filter(|(text, out)| redacted(text) != *out)
        .map(|(text, out)| format!("{text:?} became {:?}, not {out:?}", redacted(text)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_only_looks_like_a_form_is_left_alone() {
    let changed: Vec<String> = HARMLESS_FORMS
        .iter()
        .filter(|text| redacted(text) != **text)
        .map(|text| format!("{text:?} became {:?}", redacted(text)))
        .collect();
    assert!(changed.is_empty(), "{}", changed.join("\n"));
}

#[test]
fn a_second_redaction_of_any_form_changes_nothing() {
    for text in FORMS.iter().map(|(text, _)| *text).chain(HARMLESS_FORMS.iter().copied()) {
        // Alone, and between others, on one line and on several.
        for text in [text.to_owned(), format!("{text} {text}"), format!("x: {text}\n  {text}\n"), format!("\"{text}\"")]
        {
            let once = redacted(&text);
            assert_eq!(redacted(&once), once, "{text:?}");
        }
    }
}
