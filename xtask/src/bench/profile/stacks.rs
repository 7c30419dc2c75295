//! What `perf script` prints, as stacks.

/// One look at one thread.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) struct Stack<'a> {
    pub thread: &'a str,
    /// Names of functions, innermost first, inlined ones included.
    pub frames: Vec<&'a str>,
}

/// A stack is a line with the thread's name and number, then a line for each frame: address, name.
pub(in super::super) fn parse(text: &str) -> Vec<Stack<'_>> {
    let mut stacks: Vec<Stack<'_>> = Vec::new();
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        // The thread's name is padded from the left, so that only the tab tells a frame.
        if let Some(stack) = stacks.last_mut().filter(|_| line.starts_with('\t')) {
            let name = trimmed.split_once(' ').map_or("?", |(_, name)| name);
            stack.frames.push(name.trim_end_matches(" (inlined)"));
        } else {
            let thread = trimmed.rsplit_once(' ').map_or(trimmed, |(name, _)| name.trim());
            stacks.push(Stack { thread, frames: Vec::new() });
        }
    }
    stacks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_is_a_thread_and_its_frames_from_the_inside() {
        let text = "ringwatch   40 \n\t  55d0 inner::leaf (inlined)\n\t  55d1 outer<a, b>::call\n\n\
                     rdk:main   41 \n\t ffffffff [unknown]\n\n";
        let expected = [
            Stack { thread: "ringwatch", frames: vec!["inner::leaf", "outer<a, b>::call"] },
            Stack { thread: "rdk:main", frames: vec!["[unknown]"] },
        ];
        assert_eq!(parse(text), expected);
    }
}
