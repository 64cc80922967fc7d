"""How an execution goes from state to state. What comes next is read from the journal, after a crash too."""
