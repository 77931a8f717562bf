# The function that alysd uses: tqdm ships no types.
