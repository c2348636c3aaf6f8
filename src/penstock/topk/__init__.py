"""The best k of many items for each of many users, from their factors: exact, the same every time, and in bounded memory."""
