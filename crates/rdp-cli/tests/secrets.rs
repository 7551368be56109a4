//! No output of any command holds a secret: not of a config that is right, not of one with a slip of the pen, at no level of
//! the log and in no form.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// Nothing has it in itself by accident.
const SECRET: &str = "xq7vhunter2zk9w";
const HALF: &str = "hunter2";

/// Every command that reads a config.
const COMMANDS: &[&[&str]] = &[
    &["check"],
    &["check", "--connect"],
    &["load"],
    &["run"],
    &["poll"],
    &["schema"],
    &["audit"],
    &["audit", "--offline"],
    &["positions"],
    &["bench", "--stage", "consume"],
    &["torture", "--kills", "1", "--records", "100"],
    &["sql", "SELECT 1", "--config"],
];

const LEVELS: &[&[&str]] = &[&["-q"], &[], &["-v"], &["-vv"], &["-vvv"], &["--log", "trace"]];

struct Case {
    /// `[source.librdkafka]`.
    settings: String,
    variables: Vec<(&'static str, &'static str)>,
}

/// All that a command says, however it ends.
fn said(command: &[&str], path: &str, level: &[&str], form: &str, variables: &[(&str, &str)], folder: &Path) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_rdp"))
        .args(command)
        .arg(path)
        .args(level)
        .args(["--output", form])
        .current_dir(folder)
        .env_remove("RDP_LOG")
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .expect("rdp starts");
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn write(folder: &Path, name: &str, settings: &str) -> String {
    let text = format!(
        "[source]\nbrokers = \"127.0.0.1:1\"\ngroup_id = \"g\"\ntopics = [\"orders\"]\n[source.librdkafka]\n{settings}\n\
         [loader]\ngive_up_after = \"1ms\"\n[sink.parquet]\nurl = \"file:landing\"\n"
    );
    let path = folder.join(name);
    fs::write(&path, text).expect("a file");
    path.to_str().expect("a plain path").to_owned()
}

fn cases_with_a_slip() -> Vec<Case> {
    let mut cases = Vec::new();
    for key in ["sasl.pasword", "sasl.password ", "ssl.key.passwrd", "ssl.key.pm", "sasl.oauthbearer.confg", "pasword"]
    {
        cases.push(Case { settings: format!("{key:?} = \"{SECRET}\""), variables: Vec::new() });
        cases.push(Case { settings: format!("{key:?} = [\"{SECRET}\"]"), variables: Vec::new() });
        cases.push(Case {
            settings: format!("{key:?} = \"${{SECRET_OF_MINE}}\""),
            variables: vec![("SECRET_OF_MINE", SECRET)],
        });
    }
    for settings in [
        "\"sasl.jaas.config\" = \"org.apache.PlainLoginModule required password=xq7vhunter2zk9w;\"",
        "\"sasl.password\" = \"xq7vhunter2zk9w",
        "\"sasl.password\" = xq7vhunter2zk9w",
        "\"sasl.password\" \"xq7vhunter2zk9w\"",
        "\"sasl.password\" = \"${NONE-xq7vhunter2zk9w}\"",
        "\"sasl.password\" = \"${NONE:-xq7vhunter2zk9w\"",
    ] {
        cases.push(Case { settings: settings.to_owned(), variables: Vec::new() });
    }
    cases
}

fn cases_without_a_slip() -> Vec<Case> {
    let all = "debug = \"all\"\n";
    let sasl = "security.protocol = \"SASL_PLAINTEXT\"\n";
    let case = |settings: &str| Case { settings: format!("{all}{settings}"), variables: Vec::new() };
    let mut cases = vec![
        case(&format!("{sasl}sasl.mechanisms = \"PLAIN\"\nsasl.username = \"u\"\nsasl.password = \"{SECRET}\"")),
        case(&format!(
            "{sasl}sasl.mechanisms = \"SCRAM-SHA-256\"\nsasl.username = \"u\"\nsasl.password = \"{SECRET}\""
        )),
        // What follows cannot be read.
        case(&format!(
            "{sasl}sasl.mechanisms = \"OAUTHBEARER\"\nenable.sasl.oauthbearer.unsecure.jwt = true\n\
             sasl.oauthbearer.config = \"principal=admin {SECRET}\""
        )),
        case(&format!(
            "{sasl}sasl.mechanisms = \"OAUTHBEARER\"\nenable.sasl.oauthbearer.unsecure.jwt = true\n\
             sasl.oauthbearer.config = \"principal={SECRET} lifeSeconds=soon\""
        )),
        case(&format!(
            "{sasl}sasl.mechanisms = \"OAUTHBEARER\"\nsasl.oauthbearer.method = \"oidc\"\n\
             sasl.oauthbearer.token.endpoint.url = \"http://127.0.0.1:1/\"\nsasl.oauthbearer.client.id = \"rdp\"\n\
             sasl.oauthbearer.client.secret = \"{SECRET}\""
        )),
        case(&format!("security.protocol = \"SSL\"\nssl.key.pem = \"{SECRET}\"")),
        case(&format!(
            "security.protocol = \"SSL\"\nssl.certificate.pem = \"{SECRET}\"\nssl.key.password = \"{SECRET}\""
        )),
        case(&format!(
            "security.protocol = \"SSL\"\nssl.keystore.location = \"/none\"\nssl.keystore.password = \"{SECRET}\""
        )),
    ];
    cases.push(Case {
        settings: format!("{all}{sasl}sasl.mechanisms = \"PLAIN\"\nsasl.username = \"u\""),
        variables: vec![("KAFKA_SASL_PASSWORD", SECRET), ("KAFKA_SASL_PASWORD", SECRET), ("KAFKA_PASSWORD", SECRET)],
    });
    cases
}

fn assert_untold(case: &Case, number: usize, commands: &[&[&str]], levels: &[&[&str]], forms: &[&str], folder: &Path) {
    let path = write(folder, &format!("{number}.toml"), &case.settings);
    for command in commands {
        for level in levels {
            for form in forms {
                let said = said(command, &path, level, form, &case.variables, folder);
                assert!(!said.contains(HALF), "{command:?} {level:?} {form} of\n{}\nsaid: {said}", case.settings);
            }
        }
    }
}

#[test]
fn no_command_tells_a_secret_of_a_config_with_a_slip() {
    let folder = tempfile::tempdir().expect("a folder");
    for (number, case) in cases_with_a_slip().iter().enumerate() {
        // Such a config is read, and refused, by all of them alike: each command meets some of the levels.
        let level = LEVELS[number % LEVELS.len()];
        assert_untold(case, number, COMMANDS, &[level], &["table", "json"], folder.path());
    }
}

#[test]
fn no_command_tells_a_secret_of_a_config_that_is_right_at_any_level() {
    let folder = tempfile::tempdir().expect("a folder");
    let cases = cases_without_a_slip();
    for (number, case) in cases.iter().enumerate() {
        assert_untold(case, number, &[&["check"]], LEVELS, &["table", "json"], folder.path());
    }
    // Brokers that are not there are waited for: side by side.
    for some in cases.iter().enumerate().collect::<Vec<_>>().chunks(3) {
        std::thread::scope(|scope| {
            for (number, case) in some {
                for (place, command) in COMMANDS.iter().enumerate() {
                    let folder = folder.path();
                    let form = if (*number + place) % 2 == 0 { "table" } else { "json" };
                    scope.spawn(move || {
                        assert_untold(case, 100 + number * 100 + place, &[command], &[&["-vvv"]], &[form], folder)
                    });
                }
            }
        });
    }
}
