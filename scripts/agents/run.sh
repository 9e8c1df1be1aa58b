# shellcheck shell=bash disable=SC2154
# How test_agents.sh runs each agent, in a home of its own. Sourced; needs chorus, url, folder, node, python
# and here.

# Nothing but Chorus is asked: no updates, no telemetry.
export NO_COLOR=1 PYTHONDONTWRITEBYTECODE=1 DISABLE_TELEMETRY=1 DISABLE_AUTOUPDATER=1 DISABLE_ERROR_REPORTING=1 \
  CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1 CLAUDE_CODE_MAX_RETRIES=1 COPILOT_OFFLINE=true \
  COPILOT_AUTO_UPDATE=false OPENCODE_DISABLE_AUTOUPDATE=1 OPENCODE_DISABLE_MODELS_FETCH=1 PI_OFFLINE=1 \
  GEMINI_CLI_TRUST_WORKSPACE=true QWEN_CODE_DISABLE_TELEMETRY=1 AIDER_ANALYTICS=false AIDER_CHECK_UPDATE=false

home_of() { # AGENT
  local home=$folder/homes/$1 notes="\"command\": \"python3\", \"args\": [\"$here/agents/notes_server.py\", \"$folder/work/$1\"]"
  [ ! -d "$home" ] || return 0
  mkdir -p "$home/.codex" "$home/.config/opencode" "$home/.gemini" "$home/.qwen" "$folder/work/$1"
  cat >"$home/.codex/config.toml" <<TOML
approval_policy = "never"
sandbox_mode = "danger-full-access"
web_search = "disabled"
check_for_update_on_startup = false
[features]
multi_agent_v2 = false
apps = false
plugins = false
[agents]
enabled = false
[analytics]
enabled = false
[model_providers.chorus]
request_max_retries = 1
stream_max_retries = 1
[mcp_servers.notes]
command = "python3"
args = ["$here/agents/notes_server.py", "$folder/work/$1"]
TOML
  cat >"$home/.config/opencode/opencode.json" <<JSON
{ "autoupdate": false, "share": "disabled",
  "mcp": { "notes": { "type": "local", "command": ["python3", "$here/agents/notes_server.py", "$folder/work/$1"] } },
  "permission": { "edit": "allow", "bash": "allow", "webfetch": "deny" } }
JSON
  cat >"$home/.gemini/settings.json" <<JSON
{ "mcpServers": { "notes": { $notes, "trust": true } }, "general": { "enableAutoUpdate": false, "maxAttempts": 2 },
  "privacy": { "usageStatisticsEnabled": false }, "security": { "auth": { "selectedType": "gemini-api-key" } } }
JSON
  cat >"$home/.qwen/settings.json" <<JSON
{ "mcpServers": { "notes": { $notes, "trust": true } }, "general": { "enableAutoUpdate": false },
  "privacy": { "usageStatisticsEnabled": false } }
JSON
  printf '{ "mcpServers": { "notes": { %s, "tools": ["*"] } } }\n' "$notes" >"$home/mcp.json"
}

launch() { # NAME ARGUMENTS...
  local name=$1
  shift
  "$chorus" launch --url "$url" "$name" -- "$@" </dev/null
}

# The agent answers PROMPT in the folder it has to itself; `next` goes on with the conversation before.
run() { # AGENT first|next PROMPT
  local next=''
  [ "$2" = first ] || next=1
  home_of "$1"
  cd "$folder/work/$1" || exit
  export HOME=$folder/homes/$1 XDG_CONFIG_HOME=$folder/homes/$1/.config XDG_DATA_HOME=$folder/homes/$1/.local \
    XDG_CACHE_HOME=$folder/homes/$1/.cache XDG_STATE_HOME=$folder/homes/$1/.state
  case $1 in
    claude)
      launch claude --print ${next:+--continue} --mcp-config "$HOME/mcp.json" \
        --allowedTools 'Bash Write Edit mcp__notes__write_note' <<<'' -- "$3" ;;
    codex) launch codex exec ${next:+resume --last} --skip-git-repo-check "$3" ;;
    opencode) launch opencode run ${next:+--continue} "$3" ;;
    gemini)
      # What it remembers goes with the home that it is launched with.
      if [ -n "$next" ]; then
        GOOGLE_GEMINI_BASE_URL=$url GEMINI_API_KEY=any GEMINI_MODEL=chorus \
          gemini --yolo --resume latest --prompt "$3" </dev/null
      elif [[ $3 == *%KEEP* ]]; then
        GOOGLE_GEMINI_BASE_URL=$url GEMINI_API_KEY=any GEMINI_MODEL=chorus gemini --yolo --prompt "$3" </dev/null
      else
        launch gemini --yolo --prompt "$3"
      fi ;;
    qwen) launch qwen --yolo ${next:+--continue} --prompt "$3" ;;
    copilot)
      launch copilot --allow-all-tools ${next:+--continue} --additional-mcp-config "@$HOME/mcp.json" --prompt "$3" ;;
    aider)
      launch aider --yes-always --no-git --no-show-release-notes --no-detect-urls --edit-format whole \
        ${next:+--restore-chat-history} --message "$3" ;;
    pi) launch pi ${next:+--continue} --print "$3" ;;
    *) "$python" "$here/agents/ask.py" "$1" "$url" "$3" ;;
  esac
}
