//! What stands in the place of a secret, and what programs publish; beside each the secret that looks alike.

use super::*;

const HARMLESS: &[&str] = &[
    // Addresses and names of resources.
    "POST /api/webhooks/stripe/subscription-updated",
    "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db-AbCdEf",
    // What says whether there is one, or that it was taken out.
    "{'proxy-authorization': true}",
    "authorization: none",
    "Authorization: Bearer …",
    "Authorization: Bearer [REDACTED]",
    "password=[REDACTED]",
    "\"password\"=>\"[FILTERED]\"",
    // What is filled in later.
    "UPDATE u SET password = :password WHERE id = 1",
    "UPDATE u SET password = @password, x = 1",
    "password=%s",
    "password = %(password)s,",
    "password={password}",
    "f\"password={self.password!r}\"",
    // Names of parameters, and what tells of a header.
    "{\"name\":\"--password\",\"type\":\"string\",\"help\":\"The password\"}",
    "\"name\": \"--api_key\", \"nargs\": \"1\"",
    "click.option('--api-key', 'api_key', required=True)",
    "[\"--password\",\"-p\"]",
    "{\"headers\": {\"Authorization\": {\"description\": \"Bearer token\"}}}",
    "    api_key: &config::ApiKey,",
    "    signature: &ed25519::Signature,",
    // What is said to people.
    "\"forgotPassword\": \"Forgot your password?\"",
    "{\"password\":\"Password is required\"}",
    "{\"password\":\"Must be at least 8 characters.\"}",
    // Programs.
    "username, password = un, pw",
    "ExtendedMasterSecret => 0x0017,",
    // Ids.
    "call_VJgFQnLkYb2Xo3FzP4TqWs5R",
    "msg_01XFDUDYJgAACzvnptvVoYEL",
    "\"request_id\":\"req_011CSHoEeqs5C35K2UUqR7Fy\"",
    "toolu_01A09q90qw90lq917835lq9",
    "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT",
    "resp_67ccd2bed1ec8190b14f964abc0542670bb6a6b452d3795b",
    "file-XjGxS3KTG0uNmNOK362iJua3",
    "pi_3MtwBwLkdIwHu7ix28a3tqPa sub_1MowQVLkdIwHu7ixeRlqHVzs price_1MoBy5LkdIwHu7ixZhnattbh",
    // Headers and public keys.
    "x-amz-cf-id: vVwXqZkBv3L5Jm8dQpRt7YxWn2CsKfHg9AbDeUiMoLq4TzPyRwXs1A==",
    "content-md5: vVwXqZkBv3L5Jm8dQpRt7Y==",
    "ETag: W/\"aZ3kQ9xW7vB1nM5tR8yU2iO4pL6jH0gF\"",
    "{\"kty\":\"EC\",\"x\":\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\",\"y\":\"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM\"}",
    "|1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7suNrYQLITLCg= ssh-ed25519 AAAA",
];

/// Text, and the part of it that is a secret all the same.
const SECRET: &[(&str, &str)] = &[
    ("https://discord.com/api/webhooks/123456789012345678/aBcDeFgHiJkLmNoPqRsTuVwXyZ", "aBcDeFgHiJ"),
    ("arn:aws:x secret: Winter2024!", "Winter2024"),
    ("authorization: true2024!", "true2024"),
    ("password=:Winter2024!", "Winter2024"),
    ("password = @dmin2024", "dmin2024"),
    ("password={Winter2024!}", "Winter2024"),
    ("{\"password\":\"correct horse battery staple\"}", "horse"),
    ("{\"password\":\"The password 4711 is good\"}", "4711"),
    ("pi_3MtwBwLkdIwHu7ix28a3tqPa_secret_YrKJUKribcBjcG8HVhfZluoGH", "YrKJUKribc"),
    ("{\"kty\":\"EC\",\"d\":\"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM\"}", "4Etl6SRW2Y"),
    ("\"x\":\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\"", "MKBCTNIc"),
    ("x-amz-id: vVwXqZkBv3L5Jm8dQpRt7YxWn2CsKfHg9AbDeUiMoLq4TzPyRwXs1A==", "vVwXqZk"),
    ("api_token=call_VJgFQnLkYb2Xo3FzP4TqWs5R", "VJgFQn"),
];

#[test]
fn what_is_no_secret_is_left_alone_and_what_looks_alike_is_not() {
    let mut wrong: Vec<String> = HARMLESS
        .iter()
        .filter(|text| redacted(text) != **text)
        .map(|text| format!("{text:?} became {:?}", redacted(text)))
        .collect();
    for (text, secret) in SECRET {
        let out = redacted(text);
        if out.contains(secret) || redacted(&out) != out {
            wrong.push(format!("{text:?} became {out:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
