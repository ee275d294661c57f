use super::*;
use crate::cli::Cli;
use clap::CommandFactory;
use std::fmt::Write as _;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reference/istioctl.md");

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// The command of our own that has this path, each step also by its other names.
fn ours(names: &[&[&str]]) -> Option<clap::Command> {
    let mut at = Cli::command();
    at.build();
    for step in names {
        let next = step.iter().map(|name| at.find_subcommand(name).cloned()).collect::<Option<Vec<_>>>()?;
        at = next.into_iter().next()?;
    }
    Some(at)
}

fn has(command: &clap::Command, flag: &Flag) -> bool {
    command.get_arguments().any(|arg| {
        let longs = arg.get_long_and_visible_aliases().unwrap_or_default();
        let longs = longs.into_iter().chain(arg.get_all_aliases().unwrap_or_default());
        longs.into_iter().any(|long| long == flag.long) && (flag.short.is_none() || arg.get_short() == flag.short)
    })
}

#[test]
fn what_is_said_to_be_served_is_there_under_all_its_names_with_its_flags() {
    for command in COMMANDS.iter().filter(|command| command.standing == Standing::Served) {
        let found = ours(command.names).unwrap_or_else(|| panic!("{:?} is not there", command.names));
        for flag in command.flags.iter().chain(GLOBAL) {
            let is_served = flag.standing == Standing::Served;
            assert_eq!(has(&found, flag), is_served, "--{} of {:?}", flag.long, command.name());
        }
    }
}

#[test]
fn what_is_refused_is_not_there_and_is_refused_by_name() {
    for command in COMMANDS {
        let Standing::Refused(why) = command.standing else { continue };
        assert!(ours(command.names).is_none(), "{:?} is there", command.name());
        let name = command.name();
        assert_eq!(about(&words(&name)), Some(format!("istioctl's \"{name}\" is not served: {why}")));
    }
}

#[test]
fn a_refused_flag_is_named_whatever_stands_around_it() {
    let said = about(&words("-n shop pc l web-1 --waypoint=true")).unwrap();
    assert!(said.starts_with("istioctl's flag --waypoint of \"proxy-config listener\" is not served: "), "{said}");
    assert_eq!(about(&words("pc l web-1 --no-such-flag")), None);
    assert_eq!(about(&words("bogus")), None);
}

#[test]
fn the_page_is_current() {
    let page = page();
    if std::env::var_os("MESHCTL_ACCEPT").is_some() {
        std::fs::write(PAGE, &page).unwrap();
    }
    assert_eq!(std::fs::read_to_string(PAGE).unwrap_or_default(), page, "MESHCTL_ACCEPT=1 writes it");
}

fn page() -> String {
    let mut page = String::from(
        "# istioctl's commands\n\nEvery command and flag of istioctl 1.30, and what becomes of it in `meshctl`. One that is not served is \
         refused by name.\nMade from the table that the command itself reads.\n\nFlags of every command: ",
    );
    page.push_str(&flags(GLOBAL));
    page.push_str("\n\n| istioctl | meshctl | flags |\n| --- | --- | --- |\n");
    for command in COMMANDS {
        let names: Vec<String> = command.names.iter().map(|step| step.join("\\|")).collect();
        let _ = match command.standing {
            Standing::Served => {
                writeln!(page, "| `{}` | served | {} |", names.join(" "), flags(command.flags))
            }
            Standing::Refused(why) => writeln!(page, "| `{}` | not served: {why} | |", names.join(" ")),
        };
    }
    page
}

fn flags(flags: &[Flag]) -> String {
    let served = flags.iter().filter(|flag| flag.standing == Standing::Served).map(|flag| format!("`--{}`", flag.long));
    let mut text = served.collect::<Vec<_>>().join(" ");
    for flag in flags {
        if let Standing::Refused(why) = flag.standing {
            let _ = write!(text, "; not `--{}`: {why}", flag.long);
        }
    }
    text
}
