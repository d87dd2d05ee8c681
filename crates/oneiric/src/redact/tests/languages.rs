//! What sentences tell, in English and in other languages.

use super::*;

#[test]
fn a_password_that_is_told_in_another_language_is_taken_out() {
    for text in [
        "Das Passwort ist Winter2024!",
        "Kennwort: Winter2024!",
        "Mot de passe : Winter2024!",
        "contraseña: Winter2024!",
        "La contraseña es Winter2024!",
        "A senha é Winter2024!",
        "hasło: Winter2024!",
        "Пароль: Winter2024!",
        "пароль Winter2024!",
        "密码：Winter2024!",
        "密码是Winter2024!，谢谢",
        "パスワード: Winter2024!",
        "パスワードは Winter2024! です",
        "비밀번호: Winter2024!",
        "CONTRASENA=Winter2024!",
        "MOT_DE_PASSE=Winter2024!",
        "\"db_senha\": \"Winter2024!\"",
        "Password changed to Winter2024!",
        "The password for the db is Winter2024!",
        "The password has been set to: Winter2024!",
        "the new password is now Winter2024!",
        "creds: ada / Winter2024!",
    ] {
        let out = redacted(text);
        assert!(!out.contains("Winter2024") && out.contains("[redacted:"), "{text} became {out}");
        assert_eq!(redacted(&out), out);
    }
    for text in [
        "Passwort vergessen? Kennwort: mindestens 8 Zeichen",
        "Mot de passe oublié ? Le mot de passe est obligatoire",
        "La contraseña es obligatoria, la contraseña esperada2x",
        "desenhar2x senhas senha: obrigatória",
        "пароль: обязательное поле; Пароль должен быть длиной 8 символов",
        "密码长度至少8个字符 パスワードは8文字以上 비밀번호는 8자 이상",
        "The password for the db is base64 encoded",
        "The password has been set to expire in 30days",
        "credentials: see docs / README2.md",
    ] {
        assert_eq!(redacted(text), text);
    }
    let mut value = json!({"senha": "Winter2024!", "Contraseña": "Winter2024!", "kennwort": "Pflichtfeld"});
    assert_eq!(Redactor::standard().value(&mut value), 2);
    assert_eq!(value["kennwort"], "Pflichtfeld");
}
