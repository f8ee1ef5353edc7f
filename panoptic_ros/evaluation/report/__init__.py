"""What an evaluation found, for people: tables on the console and one HTML file."""
