//! Programs and where each of them takes its secret.

use super::*;

#[test]
fn each_program_takes_its_secret_at_its_place() {
    for (text, secret) in [
        ("redis-cli -h x AUTH ada Winter2024! ", "Winter2024!"),
        ("redis-cli AUTH Winter2024!", "Winter2024!"),
        ("127.0.0.1:6379> AUTH ada Winter2024!", "Winter2024!"),
        ("REDISCLI_AUTH=correcthorse redis-cli ping", "correcthorse"),
        ("valkey-cli -a correcthorse ping", "correcthorse"),
        ("sqlplus ada/correcthorse", "correcthorse"),
        ("sqlplus -s ada/correcthorse@db @x.sql", "correcthorse"),
        ("expdp ada/correcthorse@db directory=y", "correcthorse"),
        ("imp ada/correcthorse@db file=y", "correcthorse"),
        ("mysqlsh ada:correcthorse@h:3306", "correcthorse"),
        ("vault login Winter2024!", "Winter2024!"),
        ("vault operator unseal abcDEF123456789012345678+/x=", "abcDEF123456789012345678"),
        ("Unseal Key 1: abcDEF123456789012345678+/x=", "abcDEF123456789012345678"),
        ("vault kv put secret/db uri=correcthorse", "correcthorse"),
        ("ngrok config add-authtoken correcthorse", "correcthorse"),
        ("poetry config http-basic.x ada Winter2024!", "Winter2024!"),
        ("composer config -g http-basic.repo.example.org ada Winter2024!", "Winter2024!"),
        ("bundle config set --global gems.x ada:Winter2024!", "Winter2024!"),
        ("fly secrets set URI=correcthorse", "correcthorse"),
        ("supabase secrets set URI=correcthorse", "correcthorse"),
        ("doppler secrets set URI=correcthorse", "correcthorse"),
        ("infisical secrets set --env=prod URI=correcthorse", "correcthorse"),
        ("kubectl create secret generic s --from-literal=uri=correcthorse", "correcthorse"),
        ("openssl enc -aes-256-cbc -k correcthorse -in x", "correcthorse"),
        ("curl --cert f.pem:Winter2024! https://x", "Winter2024!"),
        ("curl -x ada:correcthorse@proxy:8080 https://x", "correcthorse"),
        ("mc alias set local http://x:9000 ada Winter2024!", "Winter2024!"),
        ("cf auth ada Winter2024!", "Winter2024!"),
        ("crane auth login -u a -p correcthorse r", "correcthorse"),
        ("oras login -p correcthorse r", "correcthorse"),
        ("cosign login -p correcthorse r", "correcthorse"),
        ("nerdctl login -p correcthorse r", "correcthorse"),
        ("localhost:5433:x:ada:correcthorse", "correcthorse"),
        ("*:*:*:ada:correcthorse", "correcthorse"),
        ("wpa_passphrase home Winter2024!", "Winter2024!"),
        ("psk=\"correcthorse\"", "correcthorse"),
    ] {
        let out = redacted(text);
        let tail = text.split_once(secret).unwrap().1.trim_start_matches(['+', '/', 'x', '=']);
        assert!(!out.contains(secret) && out.ends_with(tail.trim_start()), "{text} became {out}");
        assert_eq!(redacted(&out), out);
    }
    for text in [
        "redis-cli AUTH",
        "self.docmd(\"AUTH\", AUTH_CRAM_MD5)",
        "the server's AUTH mechanism infinite loop2x",
        "sqlplus /nolog",
        "sqlplus / as sysdba",
        "exp x/y",
        "curl -x http://proxy:8080 https://x",
        "bundle config mirror.https://rubygems.org https://mirror:8080",
        "mc alias set local http://x:9000",
        "vault operator unseal -migrate",
        "composer config name acme/shop2",
    ] {
        assert_eq!(redacted(text), text);
    }
}
