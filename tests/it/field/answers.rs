//! What upstreams say is read as they mean it: ends, thoughts, tool calls, counts, framing.
