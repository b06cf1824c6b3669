"""The sessions of agent frameworks over turnkeep, one module each.

A module imports its framework, so import it by its name: `from turnkeep.interop.openai_agents
import AgentsSession`. Each stores what its framework says as turns. `get_history` shows them
legally, and the other modules read them as text.
"""
